. /programs/module.sh test_int test_float test_json test_re test_zlib
