# The extension after real backups, on every major: its rows are those of `pitr-catalog --json`, who may call it, restore
# points, what archiving last failed of, and the progress of a server in recovery.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use JSON ();

rows_and_rights($_) for pg_versions();
done_testing();

# --------------------------------------------------------------------------------------------------------------------

# What a query of JSON answers.
sub rows_of {
	my ($node, $columns, $from) = @_;
	my $json = $node->query("SELECT coalesce(json_agg(json_build_object($columns)), '[]') FROM $from");
	return JSON::decode_json($json);
}

sub micros { my ($column) = @_; return "(extract(epoch FROM $column) * 1000000)::bigint" }

# Those members, of each.
sub members {
	my ($list, @names) = @_;
	return [ map { my $one = $_; +{ map { $_ => $one->{$_} } @names } } @$list ];
}

sub mirror {
	my ($node, $repo) = @_;
	return run_ok([ 'pitr-catalog', $repo->options, 'mirror', '-D', $node->data_dir ], 'the mirror is written');
}

sub rows_and_rights {
	my ($version) = @_;
	my $repo = repo("bkp$version");
	my $node = cluster("bkp$version", version => $version, repo => $repo);
	my $is   = "PostgreSQL $version:";
	$node->query('CREATE EXTENSION bkp');
	$node->query('CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g');
	my @backup = ('pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast');
	run_ok([ @backup, '--note', 'the "first" one' ], "$is a backup");
	$node->query('INSERT INTO t VALUES (0)');
	run_ok([ @backup, '--pin' ], "$is a second one, pinned");
	$node->query(q{SELECT bkp_create_restore_point('before the drop')});
	$node->query("INSERT INTO t VALUES ($_)") for -2, -1;
	my $target = $node->query('SELECT clock_timestamp()');
	$node->query('DROP TABLE t');
	$node->archive_all;
	leftovers($node, $repo, $is);

	rows_equal($node, $repo, $is);
	rights($node, $is);
	restore_point($node, $repo, $is);
	archive_status($node, $repo, $is);
	progress($node, $repo, $target, $is);
	$node->stop;
	return;
}

# Writers of the mirror that were killed leave files behind that every backup would take along.
sub leftovers {
	my ($node, $repo, $is) = @_;
	my $base = $node->data_dir . '/pitr.catalog';
	my ($old, $young, @others) = ("$base.0123456789abcdef.tmp", "$base.fedcba9876543210.tmp", "$base.mine.tmp", "$base.0123456789abcdef.tmp.old",
		$node->data_dir . '/pitr.catalogue.0123456789abcdef.tmp');
	write_file($_, 'cut') for $old, $young, @others;
	utime 1, time - 3600, $old, @others;
	mkdir "$base.00000000000000ff.tmp";
	utime 1, time - 3600, "$base.00000000000000ff.tmp";
	mirror($node, $repo);
	ok(!-e $old, "$is what a writer left that was killed long ago is gone");
	is(scalar(grep { -e } $young, @others, "$base.00000000000000ff.tmp"), 5, "$is ... and nothing else");
	unlink $young, @others;
	rmdir "$base.00000000000000ff.tmp";
	return;
}

sub rows_equal {
	my ($node, $repo, $is) = @_;
	my $listed = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], "$is list")->{backups};
	my @same   = qw(label kind status start_lsn stop_lsn server_version database_bytes stored_bytes started_us finished_us);
	my $seen   = rows_of($node, join(', ', map({ "'$_', $_" } @same[ 0 .. 7 ]), "'started_us', " . micros('started'),
			"'finished_us', " . micros('finished')), 'bkp_catalog()');
	is(scalar @$seen, 2, "$is two backups");
	is_deeply($seen, members($listed, @same), "$is bkp_catalog() has the rows of pitr-catalog list --json");
	is_deeply(rows_of($node, q{'timeline', timeline, 'note', coalesce(note, ''), 'for_ever', coalesce(pinned_until = 'infinity', false)},
			'bkp_catalog()'),
		[ map { { timeline => $_->{start_timeline}, note => $_->{note},
				for_ever => ($_->{pinned_until_us} // 0) == 9223372036854775807 ? JSON::true : JSON::false } } @$listed ],
		"$is ... timeline, note, pin");
	is($node->query('SELECT DISTINCT repository FROM bkp_catalog()'), 'file://' . $repo->path =~ s{^file://}{}r, "$is ... repository")
	  if $node->query('SELECT repository FROM bkp_mirror()') =~ /^file:/;

	my $window = run_json([ 'pitr-catalog', $repo->options, '--json', 'window' ], "$is window");
	is_deeply(rows_of($node, join(', ', map({ "'$_', $_" } qw(timeline earliest_lsn latest_lsn gaps)), "'earliest_us', " . micros('earliest'),
				"'latest_us', " . micros('latest')), 'bkp_recovery_window()'),
		members($window->{windows}, qw(timeline earliest_lsn latest_lsn gaps earliest_us latest_us)),
		"$is bkp_recovery_window() has the rows of pitr-catalog window --json");
	is_deeply(rows_of($node, q{'name', name, 'lsn', lsn, 'timeline', timeline, 'created_us', } . micros('created'), 'bkp_restore_points()'),
		members($window->{restore_points}, qw(name lsn timeline created_us)),
		"$is bkp_restore_points() has the restore points of pitr-catalog window --json");
	is($node->query('SELECT count(*) FROM bkp_restore_points()'), 1, "$is ... of which there is one");
	like($node->query('SELECT cluster, branch, written_by, backups, windows, is_stale FROM bkp_mirror()'),
		qr/^main\|main\|pitr-\w+ [\d.]+\|2\|1\|f$/, "$is bkp_mirror() says by whom and of what");
	return;
}

sub rights {
	my ($node, $is) = @_;
	$node->query('CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE nobody LOGIN');
	for my $function ('bkp_catalog()', 'bkp_recovery_window()', 'bkp_recovery_target(now())', 'bkp_restore_points()',
		'bkp_archive_status()', 'bkp_mirror()', 'bkp_restore_progress()')
	{
		my ($status) = $node->psql('postgres', "SELECT * FROM $function", extra_params => [ '-U', 'watcher' ]);
		my ($refused, undef, $why) = $node->psql('postgres', "SELECT * FROM $function", extra_params => [ '-U', 'nobody' ]);
		ok($status == 0 && $refused != 0 && $why =~ /permission denied for function/, "$is $function: pg_monitor may, others may not")
		  or diag("$status, $refused: $why");
	}
	for my $role ('watcher', 'nobody') {
		my ($status, undef, $why) = $node->psql('postgres', q{SELECT bkp_create_restore_point('x')}, extra_params => [ '-U', $role ]);
		ok($status != 0 && $why =~ /permission denied/, "$is $role may not write WAL");
	}
	return;
}

sub restore_point {
	my ($node, $repo, $is) = @_;
	my ($status, undef, $why) = $node->psql('postgres', q{SELECT bkp_create_restore_point('before the drop')});
	ok($status != 0 && $why =~ /there is a restore point "before the drop" already, of .* at LSN .*HINT:  Choose another name/s,
		"$is a name that is taken is refused") or diag($why);
	is($node->query(q{SELECT bkp_create_restore_point('another one') <= pg_current_wal_insert_lsn()}), 't', "$is another one is made");
	my $long = "\xc3\xa4" x 32;
	(undef, undef, $why) = $node->psql('postgres', "SELECT bkp_create_restore_point('$long')");
	like($why, qr/at most 63 bytes, and this one has 64/, "$is bytes count, not characters");
	return;
}

# archiving fails, and goes on.
sub archive_status {
	my ($node, $repo, $is) = @_;
	$node->archive_all;
	my $last = $node->query('SELECT last_archived_wal, last_archived_time FROM pg_stat_archiver');
	is($node->query(q{SELECT last_archived, last_archived_at FROM bkp_archive_status()}), $last, "$is what was archived last, and when");
	is($node->query(q{SELECT ready, lag, last_error FROM bkp_archive_status()}), '0|00:00:00|', "$is nothing waits, nothing has failed");

	rename $repo->path, $repo->path . '.away' or die "could not rename the repository: $!\n";
	$node->switch_wal;
	ok(wait_until(sub { $node->query('SELECT failed_count > 0 FROM pg_stat_archiver') eq 't' }), "$is archiving fails");
	is($node->query('SELECT ready FROM bkp_archive_status()'), scalar(my @waiting = $node->waiting_wal), "$is so many files wait");
	is($node->query(q{SELECT lag > '0' FROM bkp_archive_status()}), 't', "$is ... and for how long");
	my ($path, $failed) = ($repo->path, $node->query('SELECT last_error FROM bkp_archive_status()'));
	like($failed, qr/\Q$path\E/, "$is last_error is in the words of pitr-archive");
	like($failed, qr/^[0-9A-F]{24}: /, "$is ... and names the file");
	rename $repo->path . '.away', $repo->path or die "could not rename the repository: $!\n";
	$node->archive_all;
	is($node->query(q{SELECT ready, last_error IS NULL FROM bkp_archive_status()}), '0|t', "$is it is over");
	# Another archive_command leaves no words: then what the server has counted.
	$node->append_conf('postgresql.conf', "archive_command = 'false'\n");
	unlink $node->data_dir . '/pitr.archive-failure';
	$node->reload;
	my $before = $node->query('SELECT failed_count FROM pg_stat_archiver');
	$node->switch_wal;
	ok(wait_until(sub { $node->query('SELECT failed_count FROM pg_stat_archiver') > $before }), "$is another command fails");
	like($node->query('SELECT last_error FROM bkp_archive_status()'),
		qr/^[0-9A-F]{24}: archiving failed at 20.*, \d+ times in all; the server's log says why$/, "$is last_error is what the server knows");
	# A damaged document takes nothing away but its words.
	write_file($node->data_dir . '/pitr.archive-failure', 'damaged');
	my ($status, $error, $warning) = $node->psql('postgres', 'SELECT last_error FROM bkp_archive_status()');
	ok($status == 0 && $error =~ /archiving failed at/ && $warning =~ /WARNING:  "pitr.archive-failure" is cut or damaged/,
		"$is a damaged document is a warning") or diag("$status $error $warning");
	return;
}

sub progress {
	my ($node, $repo, $target, $is) = @_;
	is($node->query('SELECT count(*) FROM bkp_restore_progress()'), 0, "$is no progress on a server that is not in recovery");
	my $copy = restore('copy' . $node->version, source => $node, repo => $repo, target => [ '--target-time', $target ]) or return;
	my ($state, $wanted, $time, $label, $percent, $at_target, $until, $timeline) = split /\|/, $copy->query(<<"SQL");
SELECT state, target, target_time = '$target', label, percent, replayed_lsn >= target_lsn, replayed_until < '$target', timeline
FROM bkp_restore_progress()
SQL
	is("$state $percent $at_target $until $timeline", 'paused 100 t t 1', "$is a paused server has come to its target");
	like($wanted, qr/^time 20/, "$is ... which was a time");
	is($time, 't', "$is ... that one");
	is($label, $node->query('SELECT label FROM bkp_catalog() ORDER BY stop_lsn DESC LIMIT 1'), "$is ... from this backup");
	is($copy->query('SELECT start_lsn FROM bkp_restore_progress()'),
		$node->query('SELECT start_lsn FROM bkp_catalog() ORDER BY stop_lsn DESC LIMIT 1'), "$is ... on from its beginning");
	like($copy->query('SELECT written_by, branch, backups FROM bkp_mirror()'), qr/^pitr-restore [\d.]+\|restore-\w{8}\|2$/,
		"$is the mirror in a restored directory is no older than that, and of its own branch");
	my ($status, undef, $why) = $copy->psql('postgres', q{SELECT bkp_create_restore_point('x')});
	ok($status != 0 && $why =~ /a server in recovery cannot make a restore point/, "$is no restore point in recovery");
	$copy->stop('immediate');
	return if $node->version != (pg_versions())[0];

	my $standby = restore('standby', source => $node, repo => $repo, target => ['--standby'], start => 0) or return;
	$standby->start;
	my $query = q{SELECT state, target, target_lsn, label, percent, replayed_lsn > start_lsn FROM bkp_restore_progress()};
	ok(wait_until(sub { $standby->query($query) eq 'standby|||||t' }), "$is a standby has no target")
	  or diag($standby->query($query));
	$standby->stop('immediate');
	return;
}
