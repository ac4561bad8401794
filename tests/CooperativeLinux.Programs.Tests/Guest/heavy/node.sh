node /programs/heavy/program.js
echo "status $?"
