// Guests are measured here, so that only one runs at a time.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
