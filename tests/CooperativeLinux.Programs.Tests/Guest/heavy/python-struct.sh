. /programs/module.sh test_struct
