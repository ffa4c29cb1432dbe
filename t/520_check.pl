# pitr-check: what monitoring is told about a repository, and a person before a promotion.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

use JSON ();

# (status, the line, hints)
sub check { my ($status, $stdout, $stderr) = run_program([ 'pitr-check', @_ ]); return ($status, $stdout, $stderr) }

sub check_is {
	my ($command, $expected, $pattern, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = check(@$command);
	$stdout =~ s/ \| '.*//;    # the numbers: 580_check.pl
	ok($status == $expected && $stdout =~ $pattern && $stdout =~ /\A[^\n]+\n\z/, $title)
	  or diag("status $status, expected $expected\nstdout: $stdout\nstderr: $stderr\nexpected: $pattern");
	return $stderr;
}

# --- wrong usage, no repository -----------------------------------------------------------------------------------
my ($status, undef, $stderr) = check('--no-such-flag');
is($status, 3, 'wrong usage is UNKNOWN');
like($stderr, qr/unknown flag/, '… and says so');
check_is([], 3, qr/^PITR UNKNOWN - no repository is set/, 'so is no repository');
my $repo = repo('main');
check_is([ $repo->options ], 2, qr/^PITR CRITICAL - the repository directory .* is empty/, 'one that is not there is CRITICAL');

# --- a repository fills -----------------------------------------------------------------------------------------------
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], conf => "wal_keep_size = 64MB\nautovacuum = off\n");
$node->archive_all;
check_is([ $repo->options ], 2, qr/^PITR CRITICAL - WAL is archived but there is no base backup: point-in-time recovery is impossible$/, 'without a base backup PITR is impossible');
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup is taken');
check_is([ $repo->options ], 0, qr/^PITR OK - the repository .* answers; .*; 1 base backup, the last of .*; no WAL is missing; .*; the repository has .* free/, 'with one all is well');
my $answer = JSON::decode_json((check($repo->options, '--json'))[1]);
is($answer->{status}, 'OK', 'the same as JSON');
is_deeply([ map { "$_->{check} $_->{status}" } @{ $answer->{checks} } ], [ 'repository OK', 'keys OK', 'backup OK', 'wal OK', 'runs OK', 'retention OK', 'space OK' ], '… with each check');

# --- a hole ---------------------------------------------------------------------------------------------------------
my @names = map { $node->archive_all } 1 .. 4;
my ($object) = $repo->objects(qr{/\Q$names[1]\E$});
my $kept = read_file($repo->path . "/$object");
damage($repo->path . "/$object", 'remove');
my $host = qx{hostname}; chomp $host;
$stderr = check_is([ $repo->options ], 2,
	qr/^PITR CRITICAL - the archive lacks "$names[1]": nothing behind it can be restored; the one before was archived by host "\Q$host\E"$/,
	'a hole behind the last base backup is CRITICAL');
like($stderr, qr/hint: Take a base backup now: pitr-basebackup.*--pgdata fills it/, '… with what to do');
$answer = JSON::decode_json((check($repo->options, '--json'))[1]);
my ($hole) = grep { $_->{check} eq 'wal' } @{ $answer->{checks} };
is_deeply([ @$hole{qw(first last segments)} ], [ $names[1], $names[1], 1 ], '… named in JSON, too');

my @here = ($repo->options, '--pgdata=' . $node->data_dir);
# A segment that the archiver has not come to is its own to send.
$node->query(q{ALTER SYSTEM SET archive_command = 'false'});
$node->query('SELECT pg_reload_conf()');
my $unsent = $node->switch_wal;
check_is(\@here, 1, qr/^PITR WARNING - 1 WAL segment was missing from the archive, and stored from pg_wal here$/,
	'with the data directory it is filled');
check_is(\@here, 0, qr/^PITR OK/, '… once and for all');
ok(!$repo->objects(qr{/\Q$unsent\E$}), 'what is not archived yet is no hole, and left to the archiver');
$node->query('ALTER SYSTEM RESET archive_command');
$node->query('SELECT pg_reload_conf()');
$node->archive_all;


# Gone on both sides, but a later base backup begins behind it.
damage($repo->path . "/$object", 'remove');
rename $node->data_dir . "/pg_wal/$names[1]", directory('away') . "/$names[1]" or die;
check_is(\@here, 2, qr/^PITR CRITICAL - the archive lacks "$names[1]", which is not in pg_wal here either: nothing behind it/,
	'one that cannot be filled is named');
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'another base backup is taken');
check_is(\@here, 1, qr/^PITR WARNING - the archive lacks "$names[1]".*: from the backups before it, nothing behind it can be restored/,
	'and then it is a WARNING');
rename directory('away') . "/$names[1]", $node->data_dir . "/pg_wal/$names[1]" or die;
check(@here);
check_is(\@here, 0, qr/^PITR OK/, 'back in pg_wal, it is filled again');

# --- before a promotion -----------------------------------------------------------------------------------------------
$node->backup('basis');
my $standby = Pitr::Cluster->new('standby', install_path => $node->install_path);
$standby->{pitr_version} = $node->version;
$standby->init_from_backup($node, 'basis', has_streaming => 0);
my $fetch = "$Pitr::BIN/pitr-fetch " . $repo->options . ' --retry-for=1s %f %p';
my $hold = directory('hold') . '/stop';
$standby->append_conf('postgresql.conf', "archive_mode = off\nrestore_command = 'test ! -e $hold && $fetch'\n");
$standby->set_standby_mode;
$standby->start;
my @promote = ($repo->options, '--before-promote', $standby->connection);
my $last;
my $catch_up = sub {
	$node->query('CREATE TABLE IF NOT EXISTS t (i int); INSERT INTO t VALUES (1)');
	$node->archive_all;
	$last = $node->query('SELECT pg_current_wal_lsn()');
	wait_until(sub { $standby->query("SELECT pg_last_wal_replay_lsn() >= '$last'::pg_lsn - 100000") eq 't'
		  && (check(@promote))[0] == 0 }, 30);
};
$catch_up->();
check_is(\@promote, 0, qr/^PITR OK - the standby has replayed everything that is in the archive, up to LSN \S+ on timeline 1 \(last commit /,
	'a standby that is complete may be promoted');
check_is([ $repo->options, '--before-promote', $node->connection ], 3, qr/^PITR UNKNOWN - the server is not a standby/, 'a primary is asked in vain');

write_file($hold, '');
chmod 0644, $hold;
my @more;
for (1 .. 3) {
	$node->query('INSERT INTO t VALUES (2)');
	push @more, $node->archive_all;
}
$stderr = check_is(\@promote, 2, qr/^PITR CRITICAL - promoting now would lose what is in 3 archived segments, "$more[0]" to "$more[2]": the standby has replayed to LSN \S+, the archive goes to \S+ \(last commit \d/,
	'one that is behind is told what it would lose');
like($stderr, qr/hint: Wait until it has replayed them/, '… and to wait');

($object) = $repo->objects(qr{/\Q$more[1]\E$});
$kept = read_file($repo->path . "/$object");
damage($repo->path . "/$object", 'remove');
check_is(\@promote, 2, qr/would lose.*the archive lacks "$more[1]" to "$more[1]", and has WAL behind it/, 'a hole in between is named');
write_file($repo->path . "/$object", $kept);

my $objects = $repo->path;
rename "$objects/main", "$objects/away" or die;
check_is(\@promote, 2, qr/^PITR CRITICAL - cannot tell whether the standby has replayed all that the archive holds; it has replayed to LSN \S+ on timeline 1: /,
	'without the repository it cannot tell, and says so');
rename "$objects/away", "$objects/main" or die;
unlink $hold;
ok(wait_until(sub { (check(@promote))[0] == 0 }, 60), 'when it has caught up, it may be promoted');
$standby->stop;
check_is(\@promote, 3, qr/^PITR UNKNOWN - /, 'a standby that does not answer is UNKNOWN');

done_testing();
