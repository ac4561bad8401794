// Backends are watched while they wait and while others do their worst: one test at a time has the processors.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
