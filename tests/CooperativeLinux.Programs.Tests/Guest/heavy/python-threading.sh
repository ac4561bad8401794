. /programs/module.sh test_threading
