# A primary dies with WAL that it has not archived, and a standby takes its place. PostgreSQL never archives what the
# standby had received: the archive has a hole. pitr-archive fills it from the new primary's pg_wal when it is given the
# new timeline's history, and names what cannot be filled.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

sub names { my ($repo) = @_; return map { s{.*/}{}r } $repo->objects(qr{/wal/|/history/}) }
sub has { my ($repo, $name) = @_; return scalar grep { $_ eq $name } names($repo) }

# A primary with a standby that archives once it is promoted.
sub pair {
	my ($name, $repo, %options) = @_;
	my $primary = cluster("${name}1", repo => $repo, initdb => ['--wal-segsize=1'],
		conf => "wal_keep_size = $options{keep}\nwal_log_hints = on\nmax_wal_size = 8MB\nmin_wal_size = 2MB\n");
	run_ok([ 'pitr-basebackup', $repo->options, $primary->connection, '--checkpoint=fast' ], 'a base backup is taken');
	$primary->backup('basis');
	my $standby = Pitr::Cluster->new("${name}2", install_path => $primary->install_path);
	$standby->{pitr_version} = $primary->version;
	$standby->{pitr_repo} = $repo;
	$standby->init_from_backup($primary, 'basis', has_streaming => 1);
	$standby->append_conf('postgresql.conf', sprintf("port = %d\n", $standby->port));
	$standby->start;
	return ($primary, $standby);
}

# The archiver of the primary stops working; then it goes on for so many segments.
sub break_archiving {
	my ($primary) = @_;
	$primary->archive_all;
	$primary->query(q{ALTER SYSTEM SET archive_command = 'false'});
	$primary->query('SELECT pg_reload_conf()');
	return;
}

sub write_segments {
	my ($primary, $count) = @_;
	return map {
		$primary->query('CREATE TABLE IF NOT EXISTS t (i int); INSERT INTO t SELECT generate_series(1, 100)');
		$primary->switch_wal;
	} 1 .. $count;
}

sub caught_up {
	my ($primary, $standby) = @_;
	my $lsn = $primary->query('SELECT pg_current_wal_flush_lsn()');
	wait_until(sub { $standby->query("SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't' }) or die "no catching up\n";
	return;
}

# --- filled -----------------------------------------------------------------------------------------------------------
my $repo = repo('filled');
my ($primary, $standby) = pair('filled', $repo, keep => '64MB');
break_archiving($primary);
my @lost = write_segments($primary, 4);
$primary->query('INSERT INTO t VALUES (4711)');
caught_up($primary, $standby);
$primary->stop('immediate');
ok(!(grep { has($repo, $_) } @lost), 'the primary dies with four segments that are not archived');
$standby->promote;
$standby->archive_all;
ok(has($repo, '00000002.history'), 'the history of the new timeline is archived');
ok(has($repo, $_), "\"$_\" is filled in from the standby's pg_wal") for @lost;
like(read_file($standby->logfile), qr/pitr-archive: warning: stored \d WAL segments of before the promotion/, '… which is said');
my $copy = restore('filled3', source => $standby, repo => $repo);
is($copy->query('SELECT count(*) FROM t WHERE i = 4711'), 1, 'the latest is restored across the failover, with the last row')
  if defined $copy;
$copy->stop if defined $copy;

# --- the old primary comes back by pg_rewind --------------------------------------------------------------------------
$primary->start;
$primary->query('INSERT INTO t VALUES (0)');    # diverges
$primary->stop;
run_ok([ $primary->bin . '/pg_rewind', '--target-pgdata=' . $primary->data_dir, '--source-server=' . $standby->connstr('postgres') ],
	'the old primary is rewound');
my $before = $repo->contents;
my %same = map { $_ => 1 } keys %$before;
run_ok([ 'pitr-archive', $repo->options, '--drain', $primary->data_dir ], 'drained, it adds nothing false');
is_deeply([ grep { !$same{$_} && !/\.partial$/ } $repo->objects ], [], '… no segment');
my $after = $repo->contents;
is_deeply({ map { $_ => $after->{$_} } keys %same }, $before, '… and changes none');

# --- a store that takes nothing: PostgreSQL is to ask again ----------------------------------------------------------
my $filled_history = $standby->data_dir . '/pg_wal/00000002.history';
my ($object) = $repo->objects(qr{/\Q$lost[1]\E$});
damage($repo->path . "/$object", 'remove');
my ($folder) = map { $repo->path . '/' . s{/[^/]+$}{}r } $object;
chmod 0500, $folder;
run_fails([ 'pitr-archive', $repo->options, '--retry-for=1s', $filled_history ], 1,
	qr/could not look for WAL of before timeline 2 that is not archived/, 'when filling fails for now, so does the history');
chmod 0700, $folder;
run_ok([ 'pitr-archive', $repo->options, $filled_history ], 'asked again, it succeeds');
ok(has($repo, $lost[1]), '… and the hole is filled');
$standby->stop;

# --- gone -------------------------------------------------------------------------------------------------------------
# The standby has recycled what it received: the hole stays, and is named.
$repo = repo('gone');
($primary, $standby) = pair('gone', $repo, keep => '0');
break_archiving($primary);
@lost = write_segments($primary, 12);
$primary->query('CHECKPOINT');
caught_up($primary, $standby);
$standby->query('CHECKPOINT');
caught_up($primary, $standby);
my %kept = map { $_ => 1 } grep { -e $standby->data_dir . "/pg_wal/$_" } @lost;
$primary->stop('immediate');
$standby->promote;
$standby->archive_all;
ok(has($repo, '00000002.history'), 'the history is archived although the hole cannot be filled');
my @missing = grep { !has($repo, $_) } @lost;
cmp_ok(scalar @missing, '>', 0, 'segments are lost') or diag(join ' ', %kept);
my $host = qx{hostname}; chomp $host;
my $log = read_file($standby->logfile);
like($log, qr/pitr-archive: warning: the archive lacks "$missing[0]"(?: to "$missing[-1]" \(\d+ segments\))?: the server that wrote timeline 1 on host "\Q$host\E" had not archived it/,
	'the log of the new primary names them and the host that should have had them');
like($log, qr/hint: A restore cannot pass it\. Take a base backup of this server now/, '… and what to do');
run_fails([ 'pitr-restore', $repo->options, '--dry-run' ], 2, qr/missing from the archive.*$missing[0]/,
	'a restore across the hole is refused, naming it');

# --- the repository cannot be reached during the promotion: PostgreSQL asks again -----------------------------------
my $history = $standby->data_dir . '/pg_wal/00000002.history';
my $elsewhere = directory('elsewhere');
my $objects = $repo->path;
rename "$objects/main", "$objects/away" or die;
run_fails([ 'pitr-archive', $repo->options, $history ], 1, qr/not initialised/, 'without its repository the history is not archived');
rename "$objects/away", "$objects/main" or die;
run_ok([ 'pitr-archive', $repo->options, $history ], 'and the next call does all of it again');

# --- the old primary's disk is found ------------------------------------------------------------------------------------
my ($said) = run_ok([ 'pitr-archive', $repo->options, '--drain', $primary->data_dir ], 'what is left of the old primary is drained');
ok(has($repo, $_), "\"$_\" is there at last") for @missing;
ok((grep { /^\Q$1\E\.partial$/ } names($repo)) && (grep { /^\Q$1\E\.[0-9A-F]{8}\.partial$/ } names($repo)),
	'its last segment is in nobody\'s way: the new primary has archived a .partial of it') if $said =~ /as "([0-9A-F]{24})\./;
run_ok([ 'pitr-restore', $repo->options, '--dry-run' ], 'and a restore across the failover is possible');
$standby->stop;

# --- a clone that is promoted never touches what was there before ---------------------------------------------------
# (The same history again, from a server whose pg_wal holds other content under the old names.)
my $forged = directory('forged/pg_wal') && "$Pitr::TEST_DIRECTORY/forged";
system("cp -a '" . $standby->data_dir . "/global' '$forged/'") == 0 or die;
my $away = damage($repo->path . '/' . ($repo->objects(qr{/\Q$lost[1]\E$}))[0], 'remove');
for my $name (@lost[ 0 .. 2 ]) {
	my $content = read_file(-e $primary->data_dir . "/pg_wal/$name" ? $primary->data_dir . "/pg_wal/$name" : die "no $name\n");
	substr($content, -8) = 'another!';
	write_file("$forged/pg_wal/$name", $content);
}
write_file("$forged/pg_wal/00000002.history", read_file($history));
my (undef, $warned) = run_ok([ 'pitr-archive', $repo->options, "$forged/pg_wal/00000002.history" ], 'a server with another past');
like($warned, qr/was not stored: "$lost[0]" is in the repository .* with other content/, '… fills no hole with it, and is told');
ok(!has($repo, $lost[1]), '… and the hole stays');

done_testing();
