using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using GuestProgressLine? p = GuestProgressLine.ForStandardError();
KernelStore store = new(GuestCache.ForUser());
foreach (string a in args)
{
    KernelFlavour.TryParse(a, out KernelFlavour f);
    Kernel k = await store.GetAsync(f, p);
    Console.WriteLine($"{k.Release} {k.VmlinuzPath}");
}
return 0;
