using CooperativeLinux.Monitor.Instructions;

namespace CooperativeLinux.Monitor.Tests.Machine;

/// <summary>A host processor that claims every feature there is.</summary>
internal static class FakeHost
{
    public static CpuidResult Query(uint leaf, uint subLeaf) => leaf switch
    {
        0 => new CpuidResult(0x20, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
        0x8000_0000 => new CpuidResult(0x8000_0026, 0, 0, 0),
        _ => new CpuidResult(uint.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue),
    };

    public static CpuidResult QueryAmd(uint leaf, uint subLeaf) =>
        leaf == 0 ? new CpuidResult(0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65) : Query(leaf, subLeaf);
}
