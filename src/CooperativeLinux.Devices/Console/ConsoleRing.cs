using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.Console;

/// <summary>The backend's side of a console ring page. One thread.</summary>
internal sealed class ConsoleRing(GuestPages page)
{
    /// <summary>Bytes of the ring to the guest and from it.</summary>
    public const int InputSize = 1024, OutputSize = 2048;

    public const int InputRing = 0, OutputRing = 1024, InputConsumer = 3072, InputProducer = 3076, OutputConsumer = 3080, OutputProducer = 3084;

    // Our own indices are kept here: what the guest writes over them in the page does not matter.
    private uint _outputConsumer = page.ReadIndex(OutputConsumer);
    private uint _inputProducer = page.ReadIndex(InputProducer);

    /// <summary>Takes what the guest has written.</summary>
    /// <param name="destination">At least <see cref="OutputSize"/> bytes.</param>
    /// <param name="isBroken">The guest's index was impossible; what it wrote is lost, and the ring starts anew there.</param>
    /// <returns>Bytes taken.</returns>
    public int Drain(Span<byte> destination, out bool isBroken)
    {
        uint producer = page.ReadIndex(OutputProducer);
        uint count = producer - _outputConsumer;
        isBroken = count > OutputSize;
        if (isBroken)
        {
            count = 0;
        }
        else
        {
            page.CopyFromRing(OutputRing, OutputSize, _outputConsumer, destination[..(int)count]);
        }

        _outputConsumer = producer;
        page.WriteIndex(OutputConsumer, producer);
        return (int)count;
    }

    /// <summary>Gives the guest input.</summary>
    /// <returns>Bytes for which there was room; none while the guest's index is impossible.</returns>
    public int Feed(ReadOnlySpan<byte> input)
    {
        uint used = _inputProducer - page.ReadIndex(InputConsumer);
        if (used >= InputSize)
        {
            return 0;
        }

        int count = Math.Min(input.Length, InputSize - (int)used);
        page.CopyToRing(InputRing, InputSize, _inputProducer, input[..count]);
        _inputProducer += (uint)count;
        page.WriteIndex(InputProducer, _inputProducer);
        return count;
    }
}
