. /programs/module.sh test_mmap
