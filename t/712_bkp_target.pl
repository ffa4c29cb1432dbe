# bkp_recovery_target() says, from the mirror alone, what pitr-restore finds out from the archive: the same backup, timeline,
# last commit and size for a time between segments, no later one for a time within one, and why for all others.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Mirror;
use JSON ();

my $repo = repo('target');
my $node = cluster('target', repo => $repo, initdb => ['--wal-segsize=1']);
real_archive();
real_fork();
forged_archives();
done_testing();

# --------------------------------------------------------------------------------------------------------------------

sub asked {
	my ($target, $server) = @_;
	return JSON::decode_json(($server // $node)->query("SELECT row_to_json(t) FROM bkp_recovery_target('$target') t"));
}

sub now { return $node->query('SELECT clock_timestamp()') }

sub real_archive {
	my (@between, @within);
	$node->query('CREATE EXTENSION bkp; CREATE TABLE t (id int)');
	my $before = now();
	my @backup = ('pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast');
	run_ok(\@backup, 'a backup');
	for my $round (1 .. 8) {
		$node->query("INSERT INTO t VALUES ($round)");
		push @within, now();
		$node->query("INSERT INTO t VALUES (-$round)");
		$node->switch_wal;
		push @between, now();
		run_ok(\@backup, 'another backup') if $round == 5;
	}
	$node->query('INSERT INTO t VALUES (0)');
	$node->archive_all;
	run_ok([ 'pitr-catalog', $repo->options, 'mirror', '-D', $node->data_dir ], 'the mirror is written');

	my $exact = 0;
	for my $target (@between[ 0, 2, 4, 5, 6 ], @within[ 1, 4, 7 ]) { $exact += compare($target) }
	cmp_ok($exact, '>=', 3, "between segments it is exact ($exact of 8 were)");
	my ($earliest, $latest) = split /\|/, $node->query('SELECT earliest, latest FROM bkp_recovery_window()');
	compare($earliest);
	compare($latest);
	my $last = asked($latest);
	is($last->{last_commit}, JSON::decode_json($node->query("SELECT to_json('$latest'::timestamptz)") =~ s/^/[/r =~ s/$/]/r)->[0],
		'the latest time brings back the last commit');

	my $early = asked($before);
	ok(!$early->{reachable} && $early->{reason} =~ /before the end of the first base backup: the earliest .* is \Q$earliest\E/
		  && !defined $early->{command} && !defined $early->{label}, 'before the first backup: no, and from when on') or diag($early->{reason});
	run_fails([ 'pitr-restore', $repo->options, '--dry-run', '--target-time', $before ], 2, qr/before the end of the first backup/,
		'... as pitr-restore says');
	my $moment = now();
	my $late = asked($moment);
	my $state = qr/what may have been committed since is not in it, and pitr-restore would bring back the state of then/;
	ok(!$late->{reachable} && $late->{reason} =~ /behind the last commit in the archive, of \Q$latest\E: $state; .*; pg_switch_wal\(\)/,
		'behind the last commit: not for sure, and what would come back') or diag($late->{reason});
	my $plan = run_json([ 'pitr-restore', $repo->options, '--dry-run', '--json', '--target-time', $moment ], '... which pitr-restore would restore');
	is_deeply([ @$late{qw(label timeline wal_segments download_bytes last_commit_lsn last_commit_xid)} ],
		[ @$plan{qw(label timeline wal_segments fetch_bytes)}, @{ $plan->{last_commit} }{qw(lsn xid)} ], '... from the same backup, to the same commit');
	like($late->{command}, qr/^pitr-restore --target-time='[-\d]+ [:.\d]+\+00' .* -D '/, '... with a line for it');
	command_works($between[5]);
	return;
}

# A copy is opened in the past, goes on, and becomes production; the old one goes on as well.
sub real_fork {
	my $fork = $node->query('SELECT last_commit FROM bkp_recovery_target((SELECT latest FROM bkp_recovery_window()))');
	my $shared = $node->query("SELECT '$fork'::timestamptz - interval '1 us'");
	my $copy = restore('copy', source => $node, repo => $repo, target => [ '--target-time', $fork, '--target-action=promote' ]) or return;
	my @split;
	for my $round (1 .. 2) {
		$_->query('INSERT INTO t VALUES (1000)'), $_->switch_wal for $node, $copy;
		push @split, now();
		$_->query('INSERT INTO t VALUES (2000)') for $node, $copy;
	}
	$_->archive_all for $node, $copy;
	run_ok([ 'pitr-catalog', $repo->options, 'mirror', '-D', $copy->data_dir ], 'the mirror of the copy');
	is(asked($split[0], $copy)->{timeline}, 1, 'a copy that nobody adopted is not proposed, not even on itself');
	run_ok([ 'pitr-catalog', $repo->options, 'adopt', '-D', $copy->data_dir ], 'the copy becomes production');
	run_ok([ 'pitr-catalog', $repo->options, 'mirror', '-D', $copy->data_dir ], '... and its mirror');
	compare($shared, $copy);
	my $row = asked($split[1], $copy);
	my $choice = qr/--target-timeline=\S+ or --target-timeline=[^ .;]+/;
	ok(!$row->{reachable} && $row->{reason} =~ /^the target is on two timelines: .*; choose with ($choice)$/, 'a time that both servers lived through')
	  or diag(JSON->new->encode($row));
	my ($both) = ($row->{reason} // '') =~ /($choice)/;
	my $said = run_fails([ 'pitr-restore', $repo->options, '--dry-run', '--target-time', $split[1] ], 2, qr/the target is on two timelines/,
		'... as pitr-restore says');
	my ($theirs) = $said =~ /($choice)/;
	is($both, $theirs, '... with the same choice');
	$copy->stop;
	return;
}

# The same answer as the plan's; true when it claims to be exact.
sub compare {
	my ($target, $server) = @_;
	my $plan  = run_json([ 'pitr-restore', $repo->options, '--dry-run', '--json', '--target-time', $target ], "a plan to $target");
	my $asked = asked($target, $server);
	my $is_exact = $asked->{reachable} && !defined $asked->{reason};
	my @common = map { [ $_->{label}, $_->{timeline}, $_->{wal_segments} ] } $asked, $plan;
	ok($asked->{reachable}, "$target can be reached") or diag($asked->{reason});
	is_deeply(@common, '... from the same backup, with as much WAL');
	is($asked->{download_bytes}, $plan->{fetch_bytes}, '... and as many bytes');
	my ($own, $planned) = ($asked->{last_commit_lsn}, $plan->{last_commit} ? $plan->{last_commit}{lsn} : undef);
	if ($is_exact) {
		is($own, $planned, '... to the same commit');
		is($asked->{last_commit_xid}, $plan->{last_commit}{xid}, '... of the same transaction') if defined $planned;
	} else {
		like($asked->{reason}, qr/there may be later commits before the target in segment "[0-9A-F]{24}": "pitr-restore --dry-run"/,
			'... and says in which segment there may be later commits');
		my ($segment) = $asked->{reason} =~ /"([0-9A-F]{24})"/;
		my $is_right = !defined $planned || (defined $own && $own eq $planned)
		  || $node->query("SELECT pg_walfile_name('$planned')") eq $segment;
		ok($is_right, '... which is where the last one is, if it is a later one') or diag(JSON->new->encode([ $asked, $plan->{last_commit} ]));
	}
	return $is_exact ? 1 : 0;
}

# The line can be typed as it is.
sub command_works {
	my ($target) = @_;
	my $command = asked($target)->{command};
	my $directory = $node->data_dir . '.restored';
	like($command, qr/^pitr-restore --target-time='[-\d]+ [:.\d]+\+00' .* -D '\Q$directory\E'$/, 'the line names time, settings and directory');
	run_ok([ '/bin/sh', '-c', $command ], 'typed as it is, it restores', env => { PATH => $node->bin . ":$ENV{PATH}" });
	ok(-e "$directory/recovery.signal", '... beside the data directory');
	return;
}

# --- what is hard to bring about -----------------------------------------------------------------------------------------

# Two windows of one document.
sub two_windows {
	my ($change) = @_;
	my $mirror = Pitr::Mirror->new($node);
	my $windows = $mirror->{document}{windows};
	my $copy    = JSON::decode_json(JSON::encode_json($windows->[0]));
	push @$windows, $copy;
	$copy->{timeline} = 2;
	$change->($windows->[0], $copy);
	return $mirror;
}

sub forged {
	my ($title, $mirror, $target, $reachable, $pattern, %columns) = @_;
	$mirror->place;
	my $row = asked($target);
	is(!!$row->{reachable}, !!$reachable, "$title: " . ($reachable ? 'can be reached' : 'cannot be reached'));
	if (defined $pattern) { like($row->{reason} // '', $pattern, '... and why') }
	else                  { is($row->{reason}, undef, '... without more to say') }
	is($row->{$_}, $columns{$_}, "... $_") for sort keys %columns;
	return;
}

# Ten commits in each segment, of 6 minutes, the last one 36 seconds before the next segment's first one.
sub forged_archives {
	my $between = '2026-01-01 00:29:50+00';
	forged('one timeline', Pitr::Mirror->new($node), $between, 1, undef, label => '20260101T000000Z-00000000', timeline => 1,
		last_commit => '2026-01-01T00:29:24+00:00', last_commit_xid => '740', last_commit_lsn => '0/6001000', wal_segments => 6,
		download_bytes => 300_000 + 6 * 50_000);
	forged('two timelines that are one until then', two_windows(sub { }), $between, 1, undef, timeline => 1);
	my $commits = qr{timeline 1 \(last commit 2026-01-01 00:29:24\+00 at LSN 0/6001000\) and timeline 2 \(last commit .* at LSN 0/6001008\)};
	forged('two timelines with different commits',
		two_windows(sub { $_[1]{marks}[4][7] = 5; $_[1]{marks}[4][6] += 8 }), $between, 0,
		qr/^the target is on two timelines: $commits; choose with --target-timeline=1 or --target-timeline=2$/,
		command => undef, label => undef);
	forged('two of which it cannot be told', two_windows(sub { $_[1]{marks}[5][5] += 1 }), '2026-01-01 00:30:10+00', 1,
		qr/may be later commits .*; two timelines part near the target: pitr-restore may ask for --target-timeline=1 or --target-timeline=2$/);
	forged('one that nobody may propose', two_windows(sub { $_[1]{marks}[4][7] = 5; $_[1]{is_proposed} = JSON::false }), $between, 1, undef,
		timeline => 1);
	forged('only that one', two_windows(sub { $_->{is_proposed} = JSON::false for @_ }), $between, 0, qr/^nothing can be restored/);
	is($node->query('SELECT count(*) FROM bkp_recovery_window()'), 0, '... is no window either');
	forged('a branch of another name', two_windows(sub { $_[1]{branch} = 'copy'; $_[1]{marks}[4][7] = 5 }), $between, 0,
		qr{--target-timeline=1 or --target-timeline=copy/2$});
	forged('after the second backup', Pitr::Mirror->new($node), '2026-01-01 01:29:50+00', 1, undef, label => '20260101T000001Z-00000001');

	my $damaged = Pitr::Mirror->new($node);
	$damaged->{document}{backups}[1]{status} = 'damaged';
	forged('... which is damaged', $damaged, '2026-01-01 01:29:50+00', 1, qr/^the newer backup "20260101T000001Z-00000001" is damaged$/,
		label => '20260101T000000Z-00000000',
		command => q{pitr-restore --target-time='2026-01-01 01:29:50+00' --backup=20260101T000000Z-00000000}
		  . q{ --repo='s3://bucket/prefix' -D '} . $node->data_dir . q{.restored'});

	$damaged->{document}{backups}[0]{status} = 'damaged';
	forged('... and so is the other', $damaged, '2026-01-01 01:29:50+00', 0,
		qr/^the backup "20260101T000001Z-00000001" is damaged, and no other one leads there$/, label => '20260101T000001Z-00000001');
	my $behind = '2026-02-01 00:00:00+00';
	forged('behind the end', Pitr::Mirror->new($node), $behind, 0, qr/is behind the last commit in the archive, of 2026-01-01 01:59:24\+00: /,
		label => '20260101T000001Z-00000001', last_commit => '2026-01-01T01:59:24+00:00');
	forged('behind two ends', two_windows(sub { $_[1]{marks}[-1][7] += 1 }), $behind, 0, qr/^the target is on two timelines: /, label => undef);

	# The first window ends in a gap at 00:59:24, the second one begins at 01:01.
	my $gap = two_windows(sub {
		my ($first, $second) = @_;
		$first->{end} = 'gap';
		$first->{latest_us} = $first->{marks}[9][8];
		$first->{labels} = [ $first->{labels}[0] ];
		splice @{ $first->{marks} }, 10;
		$second->{timeline} = 1;
		$second->{earliest_us} += 3_600_000_000;
		splice @{ $second->{marks} }, 0, 10;
	});
	forged('before the gap', $gap, '2026-01-01 00:59:00+00', 1, qr/may be later commits/);
	my $before = qr{2026-01-01 00:59:24\+00 \(the last commit before the end of its WAL, with --target-lsn=0/B001000\)};
	for my $time ('2026-01-01 00:59:24+00', '2026-01-01 01:00:30+00') {
		forged("in the gap, $time", $gap, $time, 0,
			qr/is in a gap of the archive: the nearest times that can be reached are $before before it, and behind it 2026-01-01 01:01:00\+00$/);
	}
	forged('behind the gap', $gap, '2026-01-01 01:35:50+00', 1, undef, label => '20260101T000001Z-00000001');

	# Older segments share a mark.
	my $merged = Pitr::Mirror->new($node);
	my $marks = $merged->{document}{windows}[0]{marks};
	splice @$marks, 4, 2, [ 6, 7, 100_000, 20, $marks->[4][4], @{ $marks->[5] }[ 5 .. 8 ] ];
	forged('within a mark of two segments', $merged, $between, 1, qr/in the 2 segments that begin at LSN 0\/6000000/,
		last_commit => '2026-01-01T00:23:24+00:00');
	forged('behind it', $merged, '2026-01-01 00:35:50+00', 1, undef, last_commit_lsn => '0/7001000');

	my $wait = Pitr::Mirror->new($node, written_us => 1_767_300_000_000_000);
	$node->append_conf('postgresql.conf', "archive_command = 'false'\nbkp.stale_after = 0\n");
	$node->reload;
	$node->switch_wal;
	forged('what is not archived yet', $wait, '2026-01-02 12:00:00+00', 0,
		qr/; the local mirror of the catalog is of 2026-01-01 20:40:00\+00; 1 WAL file waits to be archived$/);
	$wait->{document}{is_partial} = JSON::true;
	forged('what the archiver has left for later', $wait, '2026-01-02 12:00:00+00', 0, qr/is not complete: run "pitr-catalog mirror"/);
	is($node->query('SELECT count(*) FROM bkp_recovery_target(NULL)'), 0, 'no time, no row');
	forged('-infinity', $wait, '-infinity', 0, qr/^-infinity is before the end of the first base backup/);
	forged('infinity', $wait, 'infinity', 0, qr/^infinity is in the future$/, label => undef, command => undef);
	forged('tomorrow', $wait, 'tomorrow', 0, qr/ is in the future$/, label => undef, command => undef);
	return;
}
