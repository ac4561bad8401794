. /programs/module.sh test_ctypes
