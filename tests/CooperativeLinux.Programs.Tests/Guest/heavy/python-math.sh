. /programs/module.sh test_math
