# bkp_check(): what pitr-check found, from SQL, and how old that is; and a restored directory does not have that of the one
# that was backed up.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Document;

my $repo = repo('bkpcheck');
my $node = cluster('bkpcheck', repo => $repo);
my $file = $node->data_dir . '/pitr.check';
my @check = ('pitr-check', $repo->options, '--pgdata', $node->data_dir);
$node->query('CREATE EXTENSION bkp');

sub rows { my ($where) = @_; return $node->query("SELECT name, status, message FROM bkp_check() $where") }

is(rows(''), "age|UNKNOWN|pitr-check has not run here\nhint: Run pitr-check every ten minutes, as the user of the server, with its data directory as --pgdata.",
	'before pitr-check has run, that is the answer');

run_program(\@check);
like(rows(q{WHERE status <> 'OK'}), qr/\Abackup\|CRITICAL\|no base backup: PITR is impossible\nhint: Take one with pitr-basebackup\.\z/, 'what it found is there, with the hint');
like(rows(q{WHERE name = 'age'}), qr/^age\|OK\|pitr-check \S+ ran \d+ s ago$/, '… and how old it is');
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup');
my @found = map { "$_->{check}|$_->{status}" } @{ run_json([ @check, '--json' ], 'it runs again')->{checks} };
is($node->query(q{SELECT name, status FROM bkp_check() WHERE name <> 'age'}), join("\n", @found), 'every question is a row');
is(rows(q{WHERE status <> 'OK'}), '', '… and all is well');
is(sprintf('%04o', (stat $file)[2] & 07777), '0600', 'the file is for its owner alone');

my $document = Pitr::Document::read_document($file);
$document->{time_us} -= 2 * 3600 * 1_000_000;
Pitr::Document::write_document($file, $document);
like(rows(q{WHERE status <> 'OK'}), qr/\Aage\|WARNING\|pitr-check \S+ ran 72\d\d s ago\nhint: See why/, 'an old answer is a warning');
is($node->query(q{SET bkp.stale_after = 0; SELECT count(*) FROM bkp_check() WHERE status <> 'OK'}), '0', '… unless nothing is ever old');
write_file($file, substr read_file($file), 0, 100);
like(rows(''), qr/\Aage\|UNKNOWN\|.*cut or damaged/, 'half a file is not believed');
Pitr::Document::write_document($file, { new => 1 }, 2);
like(rows(''), qr/\Aage\|UNKNOWN\|"pitr.check" is of version 2, and this program knows version 1/, '… nor one of a newer version');
run_program(\@check);
is(Pitr::Document::read_document($file)->{new}, 1, '… which this pitr-check does not replace');
unlink $file;
run_program(\@check);

run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup of a directory that has it');
$node->archive_all;
my $copy = restore('copy', source => $node, repo => $repo, start => 0);
ok(-e $file && !-e $copy->data_dir . '/pitr.check', 'a restored directory does not have it');
done_testing();
