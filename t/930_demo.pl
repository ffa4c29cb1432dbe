# What "make demo" shows a newcomer: a table is lost, and its rows come back.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my ($status, $stdout, $stderr) =
  run_program([ "$Pitr::ROOT/tools/demo.sh" ], env => { PITR_PROGRAMS => $Pitr::BIN }, timeout => 150);
is($status, 0, 'the demo ends well') or diag($stderr);
like($stdout, qr/^== The 10000 rows are back, each as it was\./m, '… with all rows back');
done_testing();
