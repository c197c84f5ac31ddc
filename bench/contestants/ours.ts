process.stderr.write('the channel API is not there yet\n');
process.exit(1);
