. /programs/module.sh test_hashlib
