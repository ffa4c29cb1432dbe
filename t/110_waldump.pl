# The reader of WAL against pg_waldump: on real WAL both see the same commits and aborts with their subtransactions and what
# they drop, truncations, locks, databases and tablespaces made and dropped, checkpoints, ends of recovery and restore
# points, at the same LSN, of the same transaction, at the same microsecond, and the same rows of the same relations by
# transaction; as one walk, and as summaries of single segments joined.
# 64 MB in segments of 1 MB for each version; in a full run 2 GB in segments of 16 MB.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Time::Local qw(timegm);

my $tool = "$Pitr::BIN/../tools/wal_events";
my ($size_mb, $segment_mb) = is_full_run() ? (2048, 16) : (64, 1);

# Scripts for pgbench: subtransactions rolled back and released, enough of them for large commit records; two-phase
# commits and aborts with subtransactions and dropped tables.
my $subtransactions = write_file(directory('scripts') . '/subtransactions.sql', <<'EOT');
BEGIN;
UPDATE pgbench_tellers SET tbalance = 1 WHERE tid = 1;
SAVEPOINT a;
INSERT INTO pgbench_history (tid) VALUES (:client_id);
SAVEPOINT b;
DELETE FROM pgbench_history WHERE tid = :client_id;
RELEASE b;
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

# Everything that comes and goes in bulk: COPY, tables with TOAST and indexes, rewriting, TRUNCATE, DELETE of all rows, VACUUM
# that cuts a file, a schema of many tables dropped at once.
my $churn = write_file(directory('scripts') . '/churn.sql', <<'EOT');
CREATE TABLE churn:client_id (id int PRIMARY KEY, body text);
INSERT INTO churn:client_id SELECT i, repeat(md5(i::text), 1 + i % 40) FROM generate_series(1, 300) i;
COPY churn:client_id (id) FROM PROGRAM 'seq 1001 1400';
UPDATE churn:client_id SET body = id::text WHERE id % 3 = 0;
DELETE FROM churn:client_id WHERE id > 250;
VACUUM churn:client_id;
ALTER TABLE churn:client_id ALTER id TYPE bigint;
BEGIN;
TRUNCATE churn:client_id, pgbench_history;
INSERT INTO churn:client_id SELECT i, 'again' FROM generate_series(1, 100) i;
SAVEPOINT a;
DELETE FROM churn:client_id;
ROLLBACK TO a;
UPDATE churn:client_id SET body = NULL;
COMMIT;
BEGIN;
CREATE TABLE short:client_id AS SELECT 1 AS id;
TRUNCATE short:client_id;
COMMIT;
DROP TABLE churn:client_id, short:client_id;
CREATE SCHEMA many:client_id;
DO $$BEGIN FOR i IN 1..15 LOOP EXECUTE format('CREATE TABLE many:client_id.t%s (a int PRIMARY KEY, b text)', i); END LOOP; END$$;
DROP SCHEMA many:client_id CASCADE;
EOT

# A stopped server with that much WAL in its pg_wal; returns the number of rounds it took.
sub wal_make {
	my ($node) = @_;
	my $rounds = 0;
	my $wal_mb = sub { $node->query(q{SELECT (pg_current_wal_lsn() - '0/0') / 1048576}) - $segment_mb };
	my $pgbench = sub {
		$node->run_log([ $node->bin . '/pgbench', @_, 'postgres' ]) or die "pgbench @_ failed\n";
	};
	$pgbench->('-i', '-q', '-s', is_full_run() ? 20 : 1);
	# What initdb wrote is not there any more.
	while ($wal_mb->() < $size_mb + 8 * $segment_mb && $rounds < 400) {
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
		$pgbench->('-n', '-c', 2, '-t', is_full_run() ? 20 : 1, '-f', $churn);
		# Copying a database block by block, the only way before 15 being another, is 7 MB of WAL.
		my $strategy = $node->version >= 15 && $rounds % 8 ? 'STRATEGY file_copy' : '';
		$node->query("CREATE DATABASE other $strategy") if $rounds % 2;
		$node->query('DROP DATABASE other') if $rounds % 2;
		$node->query('SELECT pg_switch_wal()');
		$node->query('CHECKPOINT') if $rounds % 4 == 0;
	}
	$node->query('CHECKPOINT');
	my $last = $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->stop('immediate');
	return ($rounds, segments($node, 1, $last));
}

# What lies behind the last segment is recycled: whole files with old contents.
sub segments {
	my ($node, $timeline, $last) = @_;
	my $first = sprintf '%08X', $timeline;
	opendir my $directory, $node->data_dir . '/pg_wal' or die "could not open pg_wal: $!\n";
	return map { $node->data_dir . "/pg_wal/$_" } sort grep { /^$first[0-9A-F]{16}$/ && $_ le $last } readdir $directory;
}

# The same server again, on another timeline, with a bit of WAL there.
sub timeline_make {
	my ($node) = @_;
	$node->set_standby_mode;
	$node->start;
	$node->promote;
	$node->query('CREATE TABLE promoted AS SELECT generate_series(1, 100) AS id');
	$node->query('DELETE FROM promoted');
	my $last = $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->stop('immediate');
	return segments($node, 2, $last);
}

# "0/01A2B3C4" is how pg_waldump prints what everybody else prints as "0/1A2B3C4".
sub lsn_short {
	my ($lsn) = @_;
	$lsn =~ s{/0+(?=.)}{/};
	return $lsn;
}

# "base/5/1259" is how it prints the files that transactions drop.
sub file_of {
	my ($path) = @_;
	return $path =~ m{^base/(\d+)/(\d+)$} ? "1663/$1/$2"
	  : $path =~ m{^global/(\d+)$}                     ? "1664/0/$1"
	  : $path =~ m{^pg_tblspc/(\d+)/[^/]+/(\d+)/(\d+)$} ? "$1/$2/$3"
	  :                                                  die "not understood: $path\n";
}

sub time_of {
	my ($text) = @_;
	$text =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d{6}) UTC/ or die "not understood: $text\n";
	return timegm($6, $5, $4, $3, $2 - 1, $1) . $7;
}

# A commit or an abort: (transaction, time, subtransactions, files, relations)
sub transaction_of {
	my ($xid, $text) = @_;
	my ($prepared, $time, $parts) = $text =~ /^(?:(\d+): )?([^;]* UTC)(.*)/ or die "not understood: $text\n";
	my ($subxacts) = $parts =~ /; subxacts: ([\d ]+)/;
	my ($files)    = $parts =~ m{; rels: ([^;]+)};
	my ($dropped)  = $parts =~ m{; dropped stats: ([\d/ ]+)};
	return (
		$prepared // $xid, time_of($time),
		[ split ' ', $subxacts // '' ],
		[ map { file_of($_) } split ' ', $files // '' ],
		[ map { m{^2/\d+/(\d+)$} ? $1 : () } split ' ', $dropped // '' ]);
}

sub list_text { return join '', map { "$_," } @_ }

# Everything of one kind of record that is told, as wal_events prints it; nothing for other records.
my %detail = (
	XLOG => sub {
		my ($kind, $text) = @_;
		return ('restore_point', $text) if $kind eq 'RESTORE_POINT';
		return ('recovery_end', "$1 $2 " . time_of($3))
		  if $kind eq 'END_OF_RECOVERY' && $text =~ /^tli (\d+); prev tli (\d+); time ([^;]+)/;
		return unless $kind =~ /^CHECKPOINT_(SHUTDOWN|ONLINE)$/;
		my $shutdown = lc $1;
		$text =~ /^redo ([^;]+); tli (\d+); prev tli (\d+); .*?xid (\d+:\d+);/ or die "not understood: $text\n";
		return ('checkpoint', join ' ', lsn_short($1), $2, $3, $4, $shutdown);
	},
	Tablespace => sub {
		my ($kind, $text) = @_;
		return ($kind eq 'CREATE' ? 'tablespace' : 'tablespace_drop', $text =~ s/"//gr);
	},
	Database => sub {
		my ($kind, $text) = @_;
		$text =~ m{(\d+/\d+)$} or die "not understood: $text\n";
		return ($kind eq 'DROP' ? 'database_drop' : 'database', $1);
	},
	Storage => sub {
		my ($kind, $text) = @_;
		return unless $kind eq 'TRUNCATE' && $text =~ /^(\S+) to (\d+) blocks/;
		return ('file_truncate', file_of($1) . " $2");
	},
	Standby => sub {
		my ($kind, $text) = @_;
		return unless $kind eq 'LOCK';
		return ('lock', join '', map { "$_," } $text =~ s{xid (\d+) db (\d+) rel (\d+)}{$1/$2/$3}gr =~ /(\S+)/g);
	},
	Heap => sub {
		my ($kind, $text) = @_;
		return unless $kind eq 'TRUNCATE';
		$text =~ /\brelids:? \[?([\d, ]+)/ or die "not understood: $text\n";
		return ('truncate', list_text($1 =~ /\d+/g));
	});

my %row_kind = ('INSERT' => 0, 'MULTI_INSERT' => 0, 'UPDATE' => 1, 'HOT_UPDATE' => 1, 'DELETE' => 2);
my @row_kinds = qw(insert update delete);

# What running transactions did: transaction => file => [inserts, updates, deletes].
sub rows_add {
	my ($changes, $xid, $file, $more) = @_;
	my $rows = $changes->{$xid}{$file} //= [ 0, 0, 0 ];
	$rows->[$_] += $more->[$_] for 0 .. 2;
	return;
}

sub changes_text {
	my ($changes, $xid, $state) = @_;
	my $files = delete $changes->{$xid} // {};
	return map { "change $xid $_ @{$files->{$_}} $state\n" } sort keys %$files;
}

# Writes one line for each event, and for each transaction's rows before its end. Returns
# { records, count => { kind => how many }, crossing => { LSN => row event that may cross into the next segment } }.
sub waldump_read {
	my ($node, $file, @segments) = @_;
	my %seen = (records => 0);
	my %changes;
	open my $dump, '-|', $node->bin . "/pg_waldump '$segments[0]' '$segments[-1]' 2>/dev/null"
	  or die "could not start pg_waldump: $!\n";
	open my $out, '>', $file or die "could not write $file: $!\n";
	while (my $line = <$dump>) {
		$seen{records}++;
		my ($manager, $xid, $lsn, $kind, $rest) =
		  $line =~ /^rmgr: (\w+)\s.* tx:\s+(\d+), lsn: ([^,]+),.*? desc: (\w+)\S* ?(.*)/ or next;
		if ($manager =~ /^Heap2?$/ && exists $row_kind{$kind}) {
			my $rows = $kind eq 'MULTI_INSERT' ? ($rest =~ /^(\d+) tuples|ntuples: (\d+)/ ? $1 // $2 : die $line) : 1;
			my ($relation) = $rest =~ m{blkref #0: rel (\d+/\d+/\d+) } or die "not understood: $line";
			rows_add(\%changes, $xid, $relation, [ map { $row_kind{$kind} == $_ ? $rows : 0 } 0 .. 2 ]);
			$seen{count}{ $row_kinds[ $row_kind{$kind} ] } += $rows;
			my $offset = hex($lsn =~ s{.*/}{}r) % ($segment_mb << 20);
			$seen{crossing}{ lsn_short($lsn) } = "$row_kinds[$row_kind{$kind}] " . lsn_short($lsn) . " $xid $relation $rows\n"
			  if $offset > ($segment_mb << 20) - 65536;
			next;
		}
		if ($manager eq 'Transaction' && $kind =~ /^(COMMIT|ABORT)(_PREPARED)?$/) {
			my ($ended, $time, $subxacts, $files, $relations) = transaction_of($xid, $rest);
			my ($event, $state) = $kind =~ /^COMMIT/ ? qw(commit committed) : qw(abort aborted);
			for my $sub (@$subxacts) {
				my $done = delete $changes{$sub} // {};
				rows_add(\%changes, $ended, $_, $done->{$_}) for keys %$done;
			}
			print $out changes_text(\%changes, $ended, $state), "$event ", lsn_short($lsn), " $ended $time subxacts:",
			  list_text(@$subxacts), ' files:', list_text(@$files), ' relations:', list_text(@$relations), "\n";
			$seen{count}{$event}++;
			$seen{count}{$_}++ for (@$subxacts ? "$event with subtransactions" : ()), (@$files ? "$event that drops" : ());
			next;
		}
		my ($event, $detail) = ($detail{$manager} // next)->($kind, $rest) or next;
		$seen{count}{$event}++;
		print $out "$event ", lsn_short($lsn), " $xid $detail\n";
	}
	print $out map { changes_text(\%changes, $_, 'running') } sort keys %changes;
	close $out or die "could not write $file: $!\n";
	close $dump;
	return \%seen;
}

# The same from wal_events, line for line; the rows of a transaction come in any order. Returns where WAL ends.
sub tool_read {
	my ($file, @arguments) = @_;
	my ($end, @changes);
	open my $in, '-|', $tool, @arguments or die "could not start wal_events: $!\n";
	open my $out, '>', $file or die "could not write $file: $!\n";
	while (my $line = <$in>) {
		chomp $line;
		my ($kind, @rest) = split /\t/, $line;
		my $text = join(' ', $kind, @rest) . "\n";
		if ($kind eq 'change') { push @changes, $text; next }
		print $out sort @changes;
		@changes = ();
		if ($kind eq 'end') { $end = "@rest"; next }
		print $out $text;
	}
	print $out sort @changes;
	close $out or die "could not write $file: $!\n";
	close $in or die "wal_events failed\n";
	return $end;
}

# What a joined record shows of a list, a path or a transaction may be less than there is, never other.
sub is_part {
	my ($shown, $whole) = @_;
	my @shown = split / /, $shown;
	my @whole = split / /, $whole;
	return 0 if @shown > @whole || $shown[0] ne "$whole[0]_cut" || $shown[1] ne $whole[1];
	return !grep { $shown[$_] ne '0' && index($whole[$_], $shown[$_] =~ s/,?$//r) != 0 } 2 .. $#shown;
}

# Two long files: what differs first is all that anybody wants to see. `joined`: the second comes from joined summaries,
# which count no changes and show some events in part, and the rows of the records between.
sub is_same_file {
	my ($got_file, $expected_file, $title, $joined) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	open my $got, '<', $got_file or die "could not open $got_file: $!\n";
	open my $expected, '<', $expected_file or die "could not open $expected_file: $!\n";
	my ($lines, $parts, $rows) = (0, 0, 0);
	my ($is, $should) = ('', '');
	while (defined $is || defined $should) {
		$is     = <$got>;
		$should = <$expected>;
		$should = <$expected> while $joined && defined $should && $should =~ /^change /;
		while ($joined && defined $is && $is =~ /^(?:insert|update|delete)(_cut)? (\S+) /) {
			my ($is_cut, $whole) = ($1, $joined->{crossing}{$2} // 'none');
			last unless $is_cut ? is_part($is =~ s/ 0\n//r, $whole =~ s/\n//r) : $is eq $whole;
			$rows++;
			$is = <$got>;
		}
		last if !defined $is || !defined $should;
		$lines++;
		next if $is eq $should;
		last unless $joined && is_part($is =~ s/\n//r, $should =~ s/\n//r);
		$parts++;
	}
	note("$title: $lines lines" . ($joined ? ", $parts in part, and $rows joined records of rows" : ''));
	return pass($title) if !defined $is && !defined $should;
	fail($title);
	diag("first difference behind $lines lines: got \"" . ($is // '') . '", expected "' . ($should // '') . '"');
	return 0;
}

sub compare {
	my ($node, $title, @segments) = @_;
	my $work = directory('lists');
	my $seen = waldump_read($node, "$work/expected", @segments);
	note("$title: $seen->{records} records; " . join ', ', map { "$seen->{count}{$_} $_" } sort keys %{ $seen->{count} });
	my $end = tool_read("$work/walked", @segments);
	is_same_file("$work/walked", "$work/expected", "$title: the walk sees what pg_waldump sees");
	my $end_joined = tool_read("$work/joined", '--join', @segments);
	is_same_file("$work/joined", "$work/expected", "$title: so do the summaries of single segments, joined", $seen);
	is($end_joined, $end, "$title: both end at the same LSN");
	like($end, qr/ early$/, "$title: amid the last segment");
	unlink "$work/expected", "$work/walked", "$work/joined";
	return $seen;
}

for my $version ($ENV{TEST_PITR_SANITIZE} ? newest_version() : pg_versions()) {
	my $node = cluster("waldump$version",
		version => $version,
		initdb  => [ "--wal-segsize=$segment_mb", '--encoding=SQL_ASCII', '--locale=C' ],
		conf    => "wal_level = logical\nwal_keep_size = 8GB\nmax_wal_size = 256MB\nmax_prepared_transactions = 20\n");
	my ($rounds, @segments) = wal_make($node);
	cmp_ok(scalar(@segments), '>=', $size_mb / $segment_mb, "$version: as much WAL as was asked for");

	my $seen  = compare($node, $version, @segments);
	my $count = $seen->{count};
	my @kinds = (
		'commit', 'commit with subtransactions', 'commit that drops',
		'abort', 'abort with subtransactions', 'abort that drops',
		qw(truncate file_truncate lock database database_drop checkpoint insert update delete));
	is_deeply([ grep { ($count->{$_} // 0) < 2 } @kinds ],
		[], "$version: it holds some of everything");
	is("@$count{qw(restore_point tablespace tablespace_drop)}", "$rounds $rounds $rounds", "$version: and what was made in it");
	my $text = run_ok([ $tool, '--time', @segments ], "$version: the walk can be timed");
	my ($records) = $text =~ /^(\d+) records/m;
	is($records, $seen->{records}, "$version: the walk sees as many records as pg_waldump");

	my $promoted = compare($node, "$version, timeline 2", timeline_make($node));
	is($promoted->{count}{recovery_end}, 1, "$version: recovery ended once");
	$node->clean_node;
}

done_testing();
