# The walker of WAL against pg_waldump: on real WAL both see the same commits, aborts, restore points and tablespaces, at
# the same LSN, of the same transaction, at the same microsecond; as one walk, and as summaries of single segments joined.
# 64 MB in segments of 1 MB for each version; in a full run 1 GB in segments of 16 MB.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Time::Local qw(timegm);

my $tool = "$Pitr::BIN/../tools/wal_commits";
my ($size_mb, $segment_mb) = is_full_run() ? (1024, 16) : (64, 1);

# Scripts for pgbench: subtransactions rolled back and released, enough of them for large commit records; two-phase
# commits and aborts with subtransactions and dropped tables.
my $subtransactions = write_file(directory('scripts') . '/subtransactions.sql', <<'EOT');
BEGIN;
UPDATE pgbench_tellers SET tbalance = 1 WHERE tid = 1;
SAVEPOINT a;
INSERT INTO pgbench_history (tid) VALUES (:client_id);
ROLLBACK TO a;
DO $$BEGIN FOR i IN 1..300 LOOP BEGIN INSERT INTO pgbench_history (tid) VALUES (i); EXCEPTION WHEN others THEN NULL; END; END LOOP; END$$;
COMMIT;
BEGIN;
CREATE TABLE gone:client_id (a int PRIMARY KEY, b text);
DROP TABLE gone:client_id;
ROLLBACK;
EOT
my $two_phase = write_file(directory('scripts') . '/two_phase.sql', <<'EOT');
BEGIN;
INSERT INTO pgbench_history (tid) VALUES (:client_id);
SAVEPOINT a;
CREATE TABLE made:client_id (a int PRIMARY KEY, b text);
PREPARE TRANSACTION 'commit:client_id';
COMMIT PREPARED 'commit:client_id';
BEGIN;
DROP TABLE made:client_id;
CREATE TABLE unmade:client_id (a int PRIMARY KEY, b text);
PREPARE TRANSACTION 'drop:client_id';
ROLLBACK PREPARED 'drop:client_id';
BEGIN;
DROP TABLE made:client_id;
PREPARE TRANSACTION 'drop:client_id';
COMMIT PREPARED 'drop:client_id';
EOT

# A stopped server with that much WAL in its pg_wal; returns the paths of the segments and the number of restore points.
sub wal_make {
	my ($node) = @_;
	my $rounds = 0;
	my $wal_mb = sub { $node->query(q{SELECT (pg_current_wal_lsn() - '0/0') / 1048576}) - $segment_mb };
	my $pgbench = sub {
		$node->run_log([ $node->bin . '/pgbench', @_, 'postgres' ]) or die "pgbench @_ failed\n";
	};
	$pgbench->('-i', '-q', '-s', is_full_run() ? 20 : 1);
	while ($wal_mb->() < $size_mb && $rounds < 200) {
		$rounds++;
		# The second is no UTF-8.
		my $name = $rounds % 3 ? "round $rounds" : "gr\xFCn $rounds";
		$node->query("SELECT pg_create_restore_point('$name')");
		my $space = directory('spaces' . $node->version . "/$rounds");
		$node->query("CREATE TABLESPACE space$rounds LOCATION '$space'");
		$node->query("DROP TABLESPACE space$rounds");
		$pgbench->('-n', '-c', 4, '-t', is_full_run() ? 5000 : 500);
		$pgbench->('-n', '-c', 4, '-t', 20, '-f', $subtransactions);
		$pgbench->('-n', '-c', 4, '-t', 20, '-f', $two_phase);
		$node->query('SELECT pg_switch_wal()');
		$node->query('CHECKPOINT') if $rounds % 4 == 0;
	}
	$node->query('CHECKPOINT');
	my $last = $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->stop('immediate');
	# What lies behind the last segment is recycled: whole files with old contents.
	opendir my $directory, $node->data_dir . '/pg_wal' or die "could not open pg_wal: $!\n";
	my @names = sort grep { /^[0-9A-F]{24}$/ && $_ le $last } readdir $directory;
	return ($rounds, map { $node->data_dir . "/pg_wal/$_" } @names);
}

# "0/01A2B3C4" is how pg_waldump prints what everybody else prints as "0/1A2B3C4".
sub lsn_short {
	my ($lsn) = @_;
	$lsn =~ s{/0+(?=.)}{/};
	return $lsn;
}

# (number of records, one line for each event)
sub waldump_read {
	my ($node, @segments) = @_;
	my ($records, @events) = (0);
	open my $dump, '-|', $node->bin . "/pg_waldump '$segments[0]' '$segments[-1]' 2>/dev/null"
	  or die "could not start pg_waldump: $!\n";
	while (my $line = <$dump>) {
		$records++;
		my ($manager, $xid, $lsn, $kind, $rest) =
		  $line =~ /^rmgr: (Transaction|XLOG|Tablespace)\s.* tx:\s+(\d+), lsn: ([^,]+),.* desc: (\S+) (.*)/ or next;
		$lsn = lsn_short($lsn);
		push @events, "restore_point $lsn $rest" if $kind eq 'RESTORE_POINT';
		push @events, "tablespace $lsn " . $rest =~ s/"//gr if $manager eq 'Tablespace' && $kind eq 'CREATE';
		next unless $manager eq 'Transaction' && $kind =~ /^(COMMIT|ABORT)(_PREPARED)?$/;
		$rest =~ /^(?:(\d+): )?(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d{6}) UTC/ or die "not understood: $line";
		my ($prepared, $time) = ($1, timegm($7, $6, $5, $4, $3 - 1, $2) . $8);
		push @events, join ' ', $kind =~ /^COMMIT/ ? 'commit' : 'abort', $lsn, $prepared // $xid, $time;
	}
	close $dump;
	return ($records, @events);
}

# (where it ends, one line for each event, as above)
sub tool_read {
	my (@arguments) = @_;
	my ($stdout, $stderr, $end, @events) = ('', '');
	IPC::Run::run([ $tool, @arguments ], '>', \$stdout, '2>', \$stderr) or die "wal_commits: $stderr\n";
	for my $line (split /\n/, $stdout) {
		my ($kind, $lsn, $xid, $time, $name) = split /\t/, $line;
		if    ($kind eq 'end')           { $end = "$lsn $xid" }
		elsif ($kind eq 'restore_point') { push @events, "$kind $lsn $name" }
		elsif ($kind =~ /^tablespace/)   { push @events, "$kind $lsn $xid $name" }
		else                             { push @events, "$kind $lsn $xid $time" }
	}
	return ($end, @events);
}

# Two lists of some hundred thousand lines: what differs first is all that anybody wants to see.
sub is_same_list {
	my ($got, $expected, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return pass($title) if join("\n", @$got) eq join("\n", @$expected);
	my $at = 0;
	$at++ while $at < @$got && $at < @$expected && $got->[$at] eq $expected->[$at];
	fail($title);
	diag(sprintf '%d and %d; first difference: got "%s", expected "%s"',
		scalar(@$got), scalar(@$expected), $got->[$at] // '', $expected->[$at] // '');
	return 0;
}

for my $version ($ENV{TEST_PITR_SANITIZE} ? newest_version() : pg_versions()) {
	my $node = cluster("waldump$version",
		version => $version,
		initdb  => [ "--wal-segsize=$segment_mb", '--encoding=SQL_ASCII', '--locale=C' ],
		conf    => "wal_level = logical\nwal_keep_size = 4GB\nmax_wal_size = 256MB\nmax_prepared_transactions = 20\n");
	my ($rounds, @segments) = wal_make($node);
	cmp_ok(scalar(@segments), '>=', $size_mb / $segment_mb, "$version: as much WAL as was asked for");

	my ($records, @expected) = waldump_read($node, @segments);
	my %count = (commit => 0, abort => 0, restore_point => 0, tablespace => 0);
	$count{ (split / /)[0] }++ for @expected;
	note("pg_waldump: $records records; " . join ', ', map { "$count{$_} ${_}s" } sort keys %count);
	ok($count{commit} > $rounds && $count{abort} > $rounds && $count{restore_point} == $rounds
		  && $count{tablespace} == $rounds,
		"$version: pg_waldump finds commits, aborts, restore points and tablespaces in it");

	my ($end, @walked) = tool_read(@segments);
	is_same_list(\@walked, \@expected, "$version: the walk sees what pg_waldump sees");
	my ($end_joined, @joined) = tool_read('--join', @segments);
	# Of a COMMIT PREPARED that crosses a boundary the transaction may lie beyond what the summaries keep: then it is 0.
	my %expected_xid = map { /^(\w+ \S+) (\d+) (.*)$/ ? ("$1 $3" => $2) : () } @expected;
	s/^(\w+ \S+) 0 (.*)$/"$1 " . ($expected_xid{"$1 $2"} \/\/ 0) . " $2"/e for @joined;
	# … and a path is cut.
	my %expected_path = map { /^tablespace (\S+ \d+) (.*)$/ ? ($1 => $2) : () } @expected;
	s/^tablespace_cut (\S+ \d+) (.*)$/'tablespace ' . $1 . ' ' . (index($expected_path{$1} \/\/ '', $2) == 0 ? $expected_path{$1} : 'another')/e
	  for @joined;
	is_same_list(\@joined, \@expected, "$version: so do the summaries of single segments, joined");
	is($end_joined, $end, "$version: both end at the same LSN");
	like($end, qr/ early$/, "$version: amid the last segment");
	my $text = run_ok([ $tool, '--time', @segments ], "$version: the walk can be timed");
	my ($seen) = $text =~ /^(\d+) records/m;
	is($seen, $records, "$version: the walk sees as many records as pg_waldump");
}

done_testing();
