node /programs/heavy/program.js
