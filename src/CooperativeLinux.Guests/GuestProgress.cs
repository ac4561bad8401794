namespace CooperativeLinux.Guests;

/// <summary>One report of long work: what is being done, and how far it is.</summary>
/// <param name="Activity">What is being done, as a short phrase without a full stop.</param>
/// <param name="Fraction">The finished part from 0 to 1, or null where it is not known.</param>
public readonly record struct GuestProgress(string Activity, double? Fraction = null);
