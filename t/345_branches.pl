# Branches: what a copy writes never touches the history it came from, and every history can be restored: of restored
# copies, of a clone by files that archived first, and of two standbys that were both promoted.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my @versions = is_full_run() ? pg_versions() : (pg_versions())[0];
for my $version (@versions) {
	copies($version);
	clone_by_files($version);
	double_promotion($version, 0);
	double_promotion($version, 1) if is_full_run();
}
done_testing();

# --------------------------------------------------------------------------------------------------------------------

sub source_with_backup {
	my ($name, $version, $repo) = @_;
	my $node = cluster($name, version => $version, repo => $repo, log_commits => 1);
	$node->query('CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, who text)');
	add($node, 'before');
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup of the source');
	return $node;
}

sub add  { my ($node, $who) = @_; return $node->query("INSERT INTO t (who) VALUES ('$who')") }
sub rows { my ($node) = @_; return $node->query(q{SELECT string_agg(who, ' ' ORDER BY id) FROM t}) }

# What a restore brings back; the server is gone afterwards.
my $tries = 0;
sub restored_rows {
	my ($source, $repo, @target) = @_;
	my $copy = restore('try' . ++$tries, source => $source, repo => $repo,
		target => [ @target, '--target-action=promote' ]) or return 'none';
	my $rows = rows($copy);
	$copy->stop('immediate');
	File::Path::remove_tree($copy->basedir);
	return $rows;
}

sub planned {
	my ($repo, @target) = @_;
	return run_json([ 'pitr-restore', $repo->options, '--json', '--dry-run', @target ], "a plan: @target");
}

sub branch_of { my ($node) = @_; return $node->query('SHOW pitr.branch') }

# Everything that was there before is there still, byte for byte.
sub is_untouched {
	my ($repo, $before, $title) = @_;
	my $now = $repo->contents;
	my @changed = grep { !defined $now->{$_} || $now->{$_} ne $before->{$_} } sort keys %$before;
	return is_deeply(\@changed, [], $title);
}

sub promote_and_wait {
	my ($node) = @_;
	$node->promote;
	return Pitr::wait_until(sub { $node->query('SELECT pg_is_in_recovery()') eq 'f' });
}

# --------------------------------------------------------------------------------------------------------------------

sub copies {
	my ($version) = @_;
	my $repo   = repo("copies$version", key => 1);
	my @independently;
	my $source = source_with_backup("source$version", $version, $repo);
	add($source, 'common');
	$source->query(q{SELECT pg_create_restore_point('point')});
	$source->archive_all;
	add($source, 'source1');
	$source->archive_all;

	my $before = $repo->contents;
	my ($one, $two) = map {
		restore("$_$version", source => $source, repo => $repo, target => [ '--target-name', 'point', '--target-action=promote' ],
			start => 0) or die
	} 'one', 'two';
	is_deeply($repo->contents, $before, 'pitr-restore writes nothing into the repository');
	like($one->restore_output, qr/branch of its own, "restore-\w{8}".*pitr-catalog adopt/s, '… and says which branch it is');
	$_->begin for $one, $two;
	is(rows($one), 'before common', 'a copy is where it was asked for');
	my $branch = branch_of($one);
	like($branch, qr/^restore-[0-9a-f]{8}$/, '… and belongs to a branch of its own');
	is($one->query('SHOW archive_mode'), 'on', '… to which it archives');

	# Three servers write timelines and segments of the same names.
	add($one, 'one1');
	$one->query(q{SELECT pg_create_restore_point('in one')});
	$one->archive_all;
	add($two, 'two1');
	$two->archive_all;
	add($source, 'source2');
	$source->archive_all;
	is_untouched($repo, $before, 'the history of the source is untouched');
	my @new = grep { !exists $before->{$_} } $repo->objects;
	is_deeply([ grep { m{/main/(?!wal/00000001/)} } @new ], [], '… and nothing but the source writes there');
	my ($other) = (branch_of($two));
	is(scalar(grep { m{/(?:\Q$branch\E|\Q$other\E)/history/00000002\.history$} } @new), 2, 'each copy has a timeline 2');
	is_deeply([ sort grep { m{/origin$} } @new ], [ sort grep { m{/(?:\Q$branch\E|\Q$other\E)/origin$} } @new ], '… and an origin');
	$two->stop;

	is(planned($repo)->{branch}, 'main', 'the latest is that of the source');
	is(restored_rows($source, $repo), 'before common source1 source2', '… with all its rows');

	run_ok([ 'pitr-basebackup', $repo->options, $one->connection, '--checkpoint=fast' ], 'a backup of the copy');
	my @backups = @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the backups')->{backups} };
	is_deeply([ sort map { $_->{branch} } @backups ], [ sort 'main', $branch ], '… is in its branch');
	like(run_ok([ 'pitr-catalog', $repo->options, 'list' ], 'the list'), qr/ branch .* main .* \Q$branch\E /s, '… shows branches');
	add($one, 'one2');
	$one->archive_all;
	is(planned($repo)->{branch}, 'main', 'which does not change what the latest is');

	# A copy of the copy.
	my $again = restore("again$version", source => $source, repo => $repo,
		target => [ "--target-timeline=$branch", '--target-name', 'in one', '--target-action=promote' ]) or die;
	is(rows($again), 'before common one1', 'a copy of the copy, back in the time of the copy');
	my $youngest = branch_of($again);
	isnt($youngest, $branch, '… has a branch of its own');
	is($again->query('SELECT timeline_id FROM pg_control_checkpoint()') || 3, 3, '… on timeline 3');
	add($again, 'again1');
	$again->archive_all;
	$again->stop;
	is(restored_rows($source, $repo, "--target-timeline=$youngest"), 'before common one1 again1', 'that is restored too');
	is(restored_rows($source, $repo, "--target-timeline=$branch/2"), 'before common one1 one2', '… and the copy by branch and timeline');
	is(restored_rows($source, $repo, "--target-timeline=$other"), 'before common two1', '… and the other copy');
	run_fails([ 'pitr-restore', $repo->options, '--dry-run', "--target-timeline=$branch/3" ], 2,
		qr/timeline 3 of the branch "\Q$branch\E" is not in the archive/, 'a timeline that another branch has is not its own');

	# By the text of the format alone the same files are found.
	my ($base) = map { m{^(.*)/main/} } $repo->objects(qr{/main/});
	for my $file ($repo->objects(qr{/main/wal/.*[0-9A-F]{24}$}), $repo->objects(qr{/(?:\Q$branch\E|\Q$youngest\E)/(?:history/.*|wal/.*[0-9A-F]{24})$})) {
		my $name  = $file =~ s{.*/}{}r;
		my $fetch = directory("fetch$version/pg_wal");
		symlink $again->data_dir . '/pitr.branch', "$Pitr::TEST_DIRECTORY/fetch$version/pitr.branch";
		my ($status) = run_program([ 'pitr-fetch', $repo->options, '--retry-for=1s', $name, 'pg_wal/x' ], in => "$Pitr::TEST_DIRECTORY/fetch$version");
		my ($theirs) = run_program([ 'sh', '-c', 'exec python3 "$@" >y', 'sh', "$Pitr::ROOT/t/format/pitr_format.py", 'wal', $repo->key,
			$repo->path, "$base/$youngest", $name ], in => $fetch);
		push @independently, $status == 0 && $theirs == 0 && read_file("$fetch/x") eq read_file("$fetch/y") ? 'same'
		  : $status != 0 && $theirs != 0 ? 'absent' : "$name differs ($status, $theirs)";
	}
	is_deeply([ grep { !/^(?:same|absent)$/ } @independently ], [], 'an independent reader finds what pitr-fetch finds, of the copy of the copy');
	ok(scalar(grep { $_ eq 'same' } @independently) >= 4, '… and that is something');

	# A standby of the copy belongs to the copy's branch.
	my $standby = restore("standby$version", source => $source, repo => $repo, target => [ '--standby', "--target-timeline=$branch" ],
		start => 0) or die;
	$standby->start;
	ok(wait_until(sub { (eval { rows($standby) } // '') =~ /one2/ }), 'a standby of the copy follows it');
	is(branch_of($standby), $branch, '… and is of its branch');
	$standby->stop;

	# It becomes production.
	my $commit_time = $source->query('SELECT pg_xact_commit_timestamp(xmin) FROM t ORDER BY id DESC LIMIT 1');
	is(planned($repo, '--target-time', $commit_time)->{branch}, 'main', 'copies that nobody adopted do not count');
	my $adopt = [ 'pitr-catalog', $repo->options, 'adopt', '-D', $one->data_dir ];
	like(run_ok($adopt, 'the copy is adopted'), qr/branch "\Q$branch\E" is production now.*--target-timeline=main/s, '… which is said');
	like(run_ok($adopt, 'once more'), qr/production already/, '… which changes nothing');
	is(planned($repo)->{branch}, $branch, 'then the latest is that of the copy');
	is(restored_rows($source, $repo), 'before common one1 one2', '… with its rows');
	is(restored_rows($source, $repo, '--target-timeline=main'), 'before common source1 source2', 'the former production can be restored');
	add($_, 'late') for $source, $one;
	$_->archive_all for $source, $one;
	run_fails([ 'pitr-restore', $repo->options, '--dry-run', '--target-time', $commit_time ], 2,
		qr/is on two timelines: timeline 1 .* and timeline 2 of the branch "\Q$branch\E".*--target-timeline=1 or --target-timeline=\Q$branch\E\/2/s,
		'a time that both have is for the user to say');
	run_ok([ 'pitr-catalog', $repo->options, 'adopt', 'main' ], 'the source is production again');
	is(planned($repo)->{branch}, 'main', '… and the latest its own');
	is_untouched($repo, $before, 'the history of the source is untouched after all');

	# The mark is all that an archiver has.
	my $mark = $one->data_dir . '/pitr.branch';
	my $text = read_file($mark);
	damage($mark, 'truncate');
	run_fails([ 'pitr-archive', $repo->options, 'pg_wal/' . $one->switch_wal ], 1, qr/the file "\S*pitr\.branch": .*pitr-catalog fork BRANCH/s,
		'a damaged mark is never ignored', in => $one->data_dir);
	run_fails([ 'pitr-fetch', $repo->options, '00000002.history', 'pg_wal/RECOVERYHISTORY' ], 200, qr/the file "\S*pitr\.branch": /,
		'… nor by who fetches', in => $one->data_dir);
	run_ok([ 'pitr-catalog', $repo->options, 'fork', $branch, '-D', $one->data_dir ], 'it is written again by naming the branch');
	$one->archive_all;
	$_->stop for $one, $source;
	return;
}

# --------------------------------------------------------------------------------------------------------------------

sub clone_by_files {
	my ($version) = @_;
	my $repo   = repo("clone$version");
	my $source = source_with_backup("cloned$version", $version, $repo);
	add($source, 'common');
	my $time = $source->query('SELECT pg_xact_commit_timestamp(xmin) FROM t ORDER BY id DESC LIMIT 1');
	$source->stop('immediate');
	my $clone = Pitr::Cluster->new("clone$version", install_path => $source->install_path);
	$clone->{pitr_version} = $version;
	system('cp', '-a', $source->data_dir, $clone->data_dir) == 0 or die "cp failed\n";
	$clone->own_address;
	$_->start for $clone, $source;
	add($clone, 'clone1');
	$clone->archive_all;
	add($source, 'source1');
	my $name = $source->switch_wal;
	ok(wait_until(sub { $source->query('SELECT failed_count FROM pg_stat_archiver') > 0 }), 'the source cannot archive any more');
	my $before  = $repo->contents;
	my $message = run_fails([ 'pitr-archive', $repo->options, "pg_wal/$name" ], 1, qr/with other content/, 'the clone was first',
		in => $source->data_dir);
	my ($here, $there) = map { quotemeta $_->data_dir } $source, $clone;
	like($message, qr/stored by host "[^"]+" from "$there" \(process \d+\) at .*This is host "[^"]+", data directory "$here".*fork -D '$here'/s,
		'… and both are named, and the way out');

	my ($status, $answer) = run_program([ 'pitr-check', $repo->options, '-D', $source->data_dir ]);
	is($status, 2, 'for pitr-check that is CRITICAL');
	like($answer, qr/two servers write the same history: "$name" of the server in "$here" is not what is stored, by host "[^"]+" from "$there"/,
		'… though nothing is missing from the archive');

	run_fails([ 'pitr-catalog', $repo->options, 'adopt', '-D', $source->data_dir ], 2, qr/branch "main" already/, 'there is no branch to adopt');
	my $said = run_ok([ 'pitr-catalog', $repo->options, 'fork', '-D', $source->data_dir ], 'the source forks');
	my ($branch) = $said =~ /branch of its own, "(fork-\w+)"/;
	ok($branch, '… and has a branch') or return;
	like($said, qr/"$name" of this server is not what is stored in the branch "main", by .*$there/, '… from the segment that differs');
	is_untouched($repo, $before, '… without a change to what is stored');
	$source->archive_all;
	is(scalar(grep { m{/\Q$branch\E/wal/.*/$name$} } $repo->objects), 1, 'its archiver goes on by itself');
	is_untouched($repo, $before, '… in its branch');
	($status, $answer) = run_program([ 'pitr-check', $repo->options, '-D', $source->data_dir ]);
	is($status, 1, 'pitr-check says by a WARNING that it is not production');
	like($answer, qr/this server archives to the branch "\Q$branch\E", but "main"/, '… and what is');
	unlike($answer, qr/two servers/, '… and of no conflict any more');
	like(run_ok([ 'pitr-catalog', $repo->options, 'fork', '-D', $_->data_dir ], 'fork where there is no conflict'), qr/no branch was made/,
		'… makes no branch')
	  for $source, $clone;

	run_fails([ 'pitr-basebackup', $repo->options, $source->connection, '--checkpoint=fast' ], 2, qr/marked for "\Q$branch\E".*pg_reload_conf/s,
		'a backup of a server that does not know its branch yet is refused');
	$source->query('SELECT pg_reload_conf()');
	ok(wait_until(sub { $source->query(q{SELECT current_setting('pitr.branch', true)}) eq $branch }), 'after a reload it knows');
	run_ok([ 'pitr-basebackup', $repo->options, $source->connection, '--checkpoint=fast' ], '… and can be backed up');
	add($source, 'source2');
	add($clone, 'clone2');
	my $late = $clone->query('SELECT pg_xact_commit_timestamp(xmin) FROM t ORDER BY id DESC LIMIT 1');
	add($_, 'last') for $source, $clone;
	$_->archive_all for $source, $clone;

	is(restored_rows($source, $repo), 'before common clone1 clone2 last', 'the latest is that of the clone, which has the default branch');
	is(restored_rows($source, $repo, "--target-timeline=$branch"), 'before common source1 source2 last', '… the source is in its own');
	my ($first) = grep { $_->{branch} eq 'main' } @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'backups')->{backups} };
	is(restored_rows($source, $repo, "--target-timeline=$branch", "--backup=$first->{label}"), 'before common source1 source2 last',
		'… also from a backup of the time before');
	run_fails([ 'pitr-restore', $repo->options, '--dry-run', '--target-time', $late ], 2,
		qr/two timelines: timeline 1 .* and timeline 1 of the branch "\Q$branch\E"/, 'a time behind the fork is on both');
	run_ok([ 'pitr-catalog', $repo->options, 'adopt', '-D', $source->data_dir ], 'the source is adopted');
	is(planned($repo)->{branch}, $branch, '… and is what the latest means');
	$_->stop for $source, $clone;
	return;
}

# --------------------------------------------------------------------------------------------------------------------

sub is_replayed {
	my ($primary, $standby) = @_;
	my $end = $primary->query('SELECT pg_current_wal_lsn()');
	return wait_until(sub { $standby->query("SELECT pg_last_wal_replay_lsn() >= '$end'") eq 't' }) || die "no replay\n";
}

sub double_promotion {
	my ($version, $is_same_point) = @_;
	my $id      = $version . ($is_same_point ? 'same' : '');
	my $repo    = repo("promoted$id");
	my $primary = source_with_backup("primary$id", $version, $repo);
	my @standbys = map {
		my $standby = Pitr::Cluster->new("$_$id", install_path => $primary->install_path);
		$standby->{pitr_version} = $version;
		run_ok([ $primary->bin . '/pg_basebackup', $primary->connection, '-D', $standby->data_dir, '-X', 'stream', '-R',
			'--checkpoint=fast' ], 'a standby is made');
		$standby->own_address;
		$standby->start;
		$standby;
	} 'first', 'second';
	add($primary, 'common');
	$primary->archive_all;
	my ($first, $second) = @standbys;
	is_replayed($primary, $_) for @standbys;
	promote_and_wait($first);
	# At the same point both would write the same history, and differ in the first segment.
	if (!$is_same_point) {
		add($primary, 'late');
		is_replayed($primary, $second);
	}
	$primary->stop('immediate');
	add($first, 'first1');
	$first->archive_all;
	is(scalar(grep { m{/main/history/00000002\.history$} } $repo->objects), 1, 'a failover goes on in the default branch');
	promote_and_wait($second);
	add($second, 'second1');
	$second->switch_wal;
	ok(wait_until(sub { $second->query('SELECT failed_count FROM pg_stat_archiver') > 0 }), 'the second promotion is refused');
	my $before = $repo->contents;
	my $said = run_ok([ 'pitr-catalog', $repo->options, 'fork', '-D', $second->data_dir ], 'the second forks');
	my ($branch) = $said =~ /branch of its own, "(fork-\w+)"/;
	ok($branch, '… and has a branch') or return;
	like($said, $is_same_point ? qr/"00000002\w{16}" of this server/ : qr/"00000002\.history" of this server is not/,
		'… from the timeline on that both have made');
	$second->archive_all;
	is_untouched($repo, $before, '… without a change to what is stored');
	is(restored_rows($primary, $repo), 'before common first1', 'the latest is that of the first');
	is(restored_rows($primary, $repo, "--target-timeline=$branch"), $is_same_point ? 'before common second1' : 'before common late second1', '… and the second is not lost');
	$_->stop for $first, $second;
	return;
}
