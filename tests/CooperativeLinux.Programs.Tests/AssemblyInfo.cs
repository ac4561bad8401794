// One guest at a time: each has most of a gigabyte of files in memory.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
