using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using GuestProgressLine? p = GuestProgressLine.ForStandardError();
KernelStore store = new(GuestCache.ForUser());
foreach (string a in args)
{
    KernelFlavour.TryParse(a, out KernelFlavour f);
    Kernel k = await store.GetAsync(f, p);
    Console.WriteLine($"{k.Release} {k.VmlinuzPath} {string.Join(' ', await new DefaultGuest(GuestCache.ForUser()).GetInitrdsAsync(k, p))}");
}
await GuestScript.WriteAsync("/tmp/script.cpio", "uname -a; lsmod; mount; cat /proc/modules; id; exit 7");
return 0;
