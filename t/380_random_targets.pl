# Random targets over a tree of five timelines. Of each one the plan (--dry-run), the server that was restored, and an
# oracle that knows every record and every row (Pitr::Tree, whose head says by which rules) must tell the same; one that
# the oracle says cannot be reached is refused before anything is written, and what the refusal proposes works.
#
#   main/1        the first primary; goes on for a while after its standby was promoted
#   main/2        that standby
#   restore-…/3   a restored copy of it, opened at a point in the middle of main/2, in a branch of its own
#   restore-…/4   a restored copy of that copy
#   main/3        the second primary again, restored in its place to a point of main/2
#
# TEST_PITR_SEED repeats the choice of targets (the tree is a new one each time).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Pool;
use Pitr::Tree;
use JSON ();
use List::Util qw(max);
use Time::HiRes ();
use Time::Local ();

my $seed = $ENV{TEST_PITR_SEED} // 20260115;
my $targets_count = $ENV{TEST_PITR_TARGETS} // (is_full_run() ? 300 : 40);
my @versions = is_full_run() ? pg_versions() : (pg_versions())[0];
my $workers_count = 2;
# --- the tree ---------------------------------------------------------------------------------------------------------

# Takes a base backup of the line's server; with a load, while that runs.
sub take_backup {
	my ($tree, $repo, $line, $name, $load) = @_;
	my $node = $line->{node};
	my %load = (transactions => 20, rate => 100, is_mixed => 1);
	my $finished = $load ? Pitr::Oracle->loader($node)->load_in_background(%load) : sub { };
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', '--label', $name ],
		"backup $name is taken", timeout => 120);
	$finished->();
	my $list = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], '… and listed');
	my ($entry) = grep { $_->{name} eq $name } @{ $list->{backups} };
	return $tree->backup($entry, $line);
}

sub load {
	my ($line, $transactions) = @_;
	Pitr::Oracle->loader($line->{node})->load(transactions => $transactions, clients => 3, is_mixed => 1);
	return;
}

# Nothing commits for a while.
sub idle { Time::HiRes::sleep(0.7); return }

sub point { my ($line, $name) = @_; $line->{node}->query("SELECT pg_create_restore_point('$name')"); return }

# The line that a server has begun which was opened at a point of another line.
sub grown_from {
	my ($tree, $line, $node, %more) = @_;
	wait_until(sub { $node->query('SELECT pg_is_in_recovery()') eq 'f' }) or die "the copy was not opened\n";
	my $timeline = hex substr $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), 0, 8;
	return $tree->line(timeline => $timeline, node => $node, parent => $line, %more);
}

# A copy of a line at an LSN, opened: a line in a branch of its own.
sub grow_copy {
	my ($tree, $repo, $line, $name, $lsn) = @_;
	my $copy = restore($name, source => $line->{node}, repo => $repo,
		target => [ '--target-lsn', $lsn, '--target-timeline', asked_as($line), '--target-action=promote' ])
	  or die "the tree does not grow\n";
	my $new = grown_from($tree, $line, $copy, branch => $copy->query('SHOW pitr.branch'), is_proposed => 0);
	$copy->archive_all;    # which makes its branch
	return $new;
}

# The stopped server of a line is restored in its place.
sub grow_in_place {
	my ($tree, $repo, $line, $lsn) = @_;
	my $node = $line->{node};
	run_ok([ 'pitr-restore', $repo->options, '-D', $node->data_dir, '--in-place', '--target-lsn', $lsn,
		'--target-timeline', asked_as($line), '--target-action=promote' ], 'a server is restored in its place',
		with_server_programs({ node => $node }));
	$tree->drain($line);
	$node->{_pid} = undef;
	$node->own_address;
	$node->begin or die "the tree does not grow\n";
	return grown_from($tree, $line, $node, branch => $line->{branch});
}

# What --target-timeline takes.
sub asked_as { my ($line) = @_; return $line->{branch} eq 'main' ? $line->{timeline} : Pitr::Tree::name($line) }

sub standby_of {
	my ($node) = @_;
	my $standby = Pitr::Cluster->new($node->name . '_standby', install_path => $node->install_path);
	$standby->{pitr_version} = $node->version;
	$standby->{pitr_repo}    = $node->{pitr_repo};
	run_ok([ $node->bin . '/pg_basebackup', $node->connection, '-D', $standby->data_dir, '-X', 'stream', '-R',
		'--checkpoint=fast' ], 'a standby is made');
	$standby->own_address;
	$standby->start;
	return $standby;
}

sub grow_tree {
	my ($version, $repo) = @_;
	my $tree = Pitr::Tree->new;
	my $node = cluster("tree$version", version => $version, repo => $repo, log_commits => 1, initdb => ['--wal-segsize=1'],
		conf => "autovacuum = off\nmax_prepared_transactions = 10\ncheckpoint_timeout = 1h\n");
	my $first = $tree->line(branch => 'main', timeline => 1, node => $node);
	Pitr::Oracle::create_tables($node);
	$node->query('INSERT INTO oracle_churn VALUES (1001, 0)');
	load($first, 10);
	point($first, 'before all');
	take_backup($tree, $repo, $first, 'one');
	load($first, 20);
	point($first, 'only one');
	point($first, 'across');
	idle();
	$node->switch_wal;
	load($first, 20);
	take_backup($tree, $repo, $first, 'two', 1);
	point($first, 'across');
	$node->query(<<'SQL');
BEGIN; INSERT INTO oracle (xid, content) SELECT txid_current(), 'left prepared';
UPDATE oracle_churn SET value = value + 1 WHERE id = 1001; PREPARE TRANSACTION 'left'
SQL
	$node->query(<<'SQL');
BEGIN; INSERT INTO oracle (xid, content) SELECT txid_current(), 'never ended'; PREPARE TRANSACTION 'forgotten'
SQL
	load($first, 15);
	point($first, 'twice');
	load($first, 5);
	point($first, 'twice');

	# An ordinary promotion; the old primary lives on a little.
	my $standby = standby_of($node);
	load($first, 15);
	my $so_far = $node->lsn('flush');
	wait_until(sub { $standby->query("SELECT pg_last_wal_replay_lsn() >= '$so_far'") eq 't' })
	  or die "the standby does not follow\n";
	$standby->promote;
	my $second = $tree->line(branch => 'main', timeline => 2, node => $standby, parent => $first);
	load($first, 10);
	point($first, 'both');
	load($first, 5);
	$tree->close($first);

	load($second, 10);
	$standby->query(q{COMMIT PREPARED 'left'});
	point($second, 'both');
	take_backup($tree, $repo, $second, 'three');
	load($second, 20);
	idle();
	my $middle = $standby->lsn('insert');
	point($second, 'only two');
	load($second, 20);
	$standby->switch_wal;
	my $later = $standby->lsn('insert');
	load($second, 15);
	$tree->close($second);

	my $third = grow_copy($tree, $repo, $second, "copy$version", $middle);
	load($third, 15);
	point($third, 'both');
	take_backup($tree, $repo, $third, 'four');
	load($third, 10);
	my $there = $third->{node}->lsn('insert');
	load($third, 15);
	$tree->close($third);

	my $fourth = grow_copy($tree, $repo, $third, "copy_of_copy$version", $there);
	load($fourth, 20);
	point($fourth, 'only four');
	$tree->close($fourth);

	my $fifth = grow_in_place($tree, $repo, $second, $later);
	load($fifth, 15);
	idle();
	take_backup($tree, $repo, $fifth, 'five', 1);
	load($fifth, 15);
	point($fifth, 'only five');
	$tree->close($fifth);
	return $tree;
}

# --- random targets ---------------------------------------------------------------------------------------------------

sub pick { return $_[ int rand @_ ] }

# Microseconds since 1970 of a time in UTC.
sub us_of {
	my ($text, $fraction) = split /\./, $_[0];
	my ($year, $month, $day, $hour, $minute, $second) = $text =~ /\d+/g;
	return Time::Local::timegm($second, $minute, $hour, $day, $month - 1, $year) * 1_000_000 + $fraction;
}

sub later      { my ($time, $us) = @_; return Pitr::Tree::time_of_us(us_of($time) + int $us) }
sub us_between { my ($from, $to) = @_; return us_of($to) - us_of($from) }

# A commit or abort somewhere on the way to the line's end; mostly one of its own.
sub some_end {
	my ($tree, $line, $kind) = @_;
	my @all = grep { !$kind || $kind->($_) } $tree->ends($line);
	my @own = grep { $_->{line} == $line } @all;
	return pick(@own && rand() < 0.7 ? @own : @all);
}

sub is_commit { return $_[0]{kind} eq 'commit' }
sub is_abort  { return $_[0]{kind} eq 'abort' }
sub is_prepared { return $_[0]{is_prepared} }
sub has_subtransactions { return scalar @{ $_[0]{subs} } }

sub some_record {
	my ($tree, $line) = @_;
	my $records = $tree->records($line);
	my $from = rand() < 0.7 ? $line->{fork} : 0;
	return pick(grep { $_->{lsn} >= $from } @$records);
}

# What is asked for, at random for a line: title => function of tree and line.
my @recipes = (
	[ 'time of a commit',                 sub { at_time(some_end(@_, \&is_commit)) } ],
	[ 'time of a commit, exclusive',      sub { (at_time(some_end(@_, \&is_commit)), exclusive => 1) } ],
	[ 'time of a rollback',               sub { (at_time(some_end(@_, \&is_abort)), exclusive => int rand 2) } ],
	[ 'time between two',                 \&time_between ],
	[ 'time of an idle stretch',          \&time_idle ],
	[ 'time before the first backup',     \&time_too_early ],
	[ 'time inside a backup',             \&time_in_backup ],
	[ 'time behind the last commit',      \&time_behind ],
	[ 'LSN of a record',                  sub { at_lsn(some_record(@_)) } ],
	[ 'LSN of a record, exclusive',       sub { (at_lsn(some_record(@_)), exclusive => 1) } ],
	[ 'LSN inside a record',              \&lsn_in_record ],
	[ 'LSN of a commit',                  sub { at_lsn(some_end(@_, \&is_commit)) } ],
	[ 'LSN of a commit, exclusive',       sub { (at_lsn(some_end(@_, \&is_commit)), exclusive => 1) } ],
	[ 'LSN just before a commit',         sub { (at_lsn(some_end(@_, \&is_commit), -1 - int rand 7), exclusive => int rand 2) } ],
	[ 'LSN of the end of a commit',       \&lsn_of_end ],
	[ 'LSN of a segment boundary',        \&lsn_of_segment ],
	[ 'LSN at the end',                   \&lsn_at_end ],
	[ 'LSN behind the end',               sub { (kind => 'lsn', lsn => $_[1]{end} + pick(1, 40, 1_000_000)) } ],
	[ 'LSN inside a backup',              \&lsn_in_backup ],
	[ 'committed transaction',            sub { of_xid(some_end(@_, \&is_commit)) } ],
	[ 'committed transaction, exclusive', sub { (of_xid(some_end(@_, \&is_commit)), exclusive => 1) } ],
	[ 'rolled back transaction',          sub { (of_xid(some_end(@_, \&is_abort)), exclusive => int rand 2) } ],
	[ 'prepared transaction',             sub { (of_xid(some_end(@_, \&is_prepared)), exclusive => int rand 2) } ],
	[ 'subtransaction',                   \&xid_of_subtransaction ],
	[ 'transaction that never ended',     \&xid_never_ended ],
	[ 'transaction that never was',       \&xid_never_was ],
	[ 'restore point',                    sub { (kind => 'name', name => pick(map { $_->{name} } points(@_))) } ],
	[ 'restore point of several',         sub { (kind => 'name', name => pick('both', 'twice', 'across')) } ],
	[ 'restore point that is not',        sub { (kind => 'name', name => pick('never', 'Both', 'both ', 'only')) } ],
	[ 'immediate',                        sub { (kind => 'immediate') } ],
	[ 'latest',                           sub { (kind => 'latest') } ],
);

sub at_time { my ($record) = @_; return (kind => 'time', time => $record->{time}) }
sub at_lsn  { my ($record, $more) = @_; return (kind => 'lsn', lsn => $record->{lsn} + ($more // 0)) }
sub of_xid  { my ($record) = @_; return (kind => 'xid', xid => $record->{xid}) }
sub points  { my ($tree, $line) = @_; return grep { $_->{kind} eq 'point' } $tree->events($line) }

sub time_too_early {
	my ($tree) = @_;
	return (kind => 'time', time => later(($tree->backups)[0]{finished}, -1 - rand 2_000_000));
}

sub time_in_backup {
	my ($tree) = @_;
	my ($from, $to) = @{ pick($tree->backups) }{qw(started finished)};
	return (kind => 'time', time => later($from, rand us_between($from, $to)));
}

sub time_behind {
	my ($tree, $line) = @_;
	return (kind => 'time', time => later(($tree->ends($line))[-1]{time}, 1 + rand 100_000));
}

sub lsn_in_record {
	my $record = some_record(@_);
	return (at_lsn($record, 1 + int rand($record->{size} - 1)), exclusive => int rand 2);
}

sub lsn_of_end {
	my $record = some_end(@_, \&is_commit);
	return (at_lsn($record, $record->{size} + (-$record->{size} & 7)), exclusive => int rand 2);
}

sub lsn_of_segment {
	my ($tree, $line) = @_;
	my $record = some_record($tree, $line);
	return (at_lsn($record, pick(-1, 0, 1) - $record->{lsn} % $tree->{segment_size}), exclusive => int rand 2);
}

sub lsn_at_end {
	my ($tree, $line) = @_;
	return (kind => 'lsn', lsn => $line->{end} - pick(0, 0, 1, 8, int rand 10_000), exclusive => int rand 2);
}

sub lsn_in_backup {
	my ($tree) = @_;
	my $backup = pick($tree->backups);
	return (kind => 'lsn', lsn => $backup->{start} + int rand($backup->{stop} - $backup->{start} + 1));
}

sub xid_of_subtransaction {
	my $record = some_end(@_, \&has_subtransactions);
	return (kind => 'xid', xid => pick(@{ $record->{subs} }));
}

sub xid_never_was {
	my ($tree, $line) = @_;
	return (kind => 'xid', xid => max(map { $_->{xid} } $tree->ends($line)) + 1000 + int rand 1000);
}

sub time_between {
	my ($tree, $line) = @_;
	my @ends = $tree->ends($line);
	my $place = int rand $#ends;
	my ($from, $to) = map { $_->{time} } @ends[ $place, $place + 1 ];
	return (kind => 'time', time => later($from, rand(max(1, us_between($from, $to)))), exclusive => int rand 2);
}

# Between two commits that lie further apart than most.
sub time_idle {
	my ($tree, $line) = @_;
	my @ends = $tree->ends($line);
	my @gaps = grep { us_between($ends[$_]{time}, $ends[ $_ + 1 ]{time}) > 300_000 } 0 .. $#ends - 1;
	my $place = pick(@gaps);
	my ($from, $to) = map { $_->{time} } @ends[ $place, $place + 1 ];
	return (kind => 'time', time => later($from, 1 + rand us_between($from, $to)), exclusive => int rand 2);
}

sub xid_never_ended {
	my ($tree, $line) = @_;
	my %ended = map { $_->{xid} => 1 } $tree->ends($line);
	my @prepared = map { $_->{xid} } grep { $_->{kind} eq 'prepare' } $tree->events($line);
	return (kind => 'xid', xid => pick(grep { !$ended{$_} } @prepared));
}

sub random_target {
	my ($tree, $recipe) = @_;
	my $line = pick($tree->lines);
	my %target = (title => $recipe->[0], $recipe->[1]->($tree, $line));
	my $choice = rand();
	if    ($choice < 0.45) { $target{timeline} = asked_as($line) }
	elsif ($choice < 0.50) { $target{timeline} = 'current' }
	elsif ($choice < 0.58) { $target{timeline} = 'latest' }
	elsif ($choice < 0.64) { $target{timeline} = $line->{branch} }
	elsif ($choice < 0.67) { $target{timeline} = Pitr::Tree::name($line) }
	elsif ($choice < 0.70) { $target{timeline} = pick(99, 'nowhere', 'main/9', asked_as(pick($tree->lines))) }
	$target{backup} = pick(map { $_->{label} } $tree->backups_on($line)) if rand() < 0.12;
	delete $target{exclusive} unless $target{exclusive};
	return \%target;
}

sub target_options {
	my ($target) = @_;
	my $kind = $target->{kind};
	my @options;
	push @options, '--target-time', "$target->{time}+00" if $kind eq 'time';
	push @options, '--target-lsn', Pitr::Tree::lsn_text($target->{lsn}) if $kind eq 'lsn';
	push @options, '--target-xid', $target->{xid} if $kind eq 'xid';
	push @options, '--target-name', $target->{name} if $kind eq 'name';
	push @options, '--target-immediate' if $kind eq 'immediate';
	push @options, '--target-exclusive' if $target->{exclusive};
	push @options, '--target-timeline', $target->{timeline} if defined $target->{timeline};
	push @options, '--backup', $target->{backup} if defined $target->{backup};
	return @options;
}

# --- one target -------------------------------------------------------------------------------------------------------

# Done at a site: {tree, repo, node, directory}.
sub run_restore {
	my ($site, @options) = @_;
	return Pitr::run_program([ 'pitr-restore', $site->{repo}->options, @options ], with_server_programs($site));
}

sub with_server_programs { my ($site) = @_; return (env => { PATH => $site->{node}->bin . ":$ENV{PATH}" }) }

# Options as a refusal proposes them, each a list.
sub proposals {
	my ($target, $stderr) = @_;
	my @with = ((defined $target->{timeline} ? ('--target-timeline', $target->{timeline}) : ()),
		(defined $target->{backup} ? ('--backup', $target->{backup}) : ()));
	my @same = target_options({ %$target, timeline => undef });
	my @proposed;
	push @proposed, [ '--target-lsn', $1, @with ] while $stderr =~ /--target-lsn=([0-9A-F]+\/[0-9A-F]+)/g;
	push @proposed, [ '--target-time', $1, @with ] while $stderr =~ /--target-time='(.*?)'/g;
	push @proposed, [ '--target-immediate', @with ] if $stderr =~ /--target-immediate/;
	my ($choice) = $stderr =~ /hint: Choose with (--target-timeline=.*)/;
	push @proposed, map { [ @same, '--target-timeline', $_ ] } ($choice // '') =~ /--target-timeline=([\w\/-]+)/g;
	return @proposed;
}

sub check_refused {
	my ($site, $target) = @_;
	my @problems;
	my $directory = "$site->{directory}/refused";
	my ($status, $stdout, $stderr) = run_restore($site, target_options($target), '-D', $directory);
	push @problems, "exit status $status: $stdout" if $status != 2;
	push @problems, 'something was written' if -e $directory;
	push @problems, "it says: $stderr" if $stderr !~ /^pitr-restore: error: .*\n(?:.* detail: .*\n)?pitr-restore: hint: /m;
	File::Path::remove_tree($directory);
	for my $proposed (proposals($target, $stderr)) {
		my ($its_status, undef, $its_stderr) = run_restore($site, '--dry-run', @$proposed);
		push @problems, "what it proposes (@$proposed) does not work: $its_stderr" if $its_status != 0;
	}
	return (@problems, @problems ? "said: $stderr" : ());
}

sub differs {
	my ($what, $seen, $expected) = @_;
	$seen //= 'none';
	return "$seen" eq "$expected" ? () : "$what: $seen, expected $expected";
}

# The plan against the oracle.
sub check_plan {
	my ($site, $plan, $outcome) = @_;
	my @alike = @{ $outcome->{alike} // [$outcome] };
	my @of_line = grep { Pitr::Tree::name($_->{line}) eq "$plan->{branch}/$plan->{timeline}" } @alike;
	my ($as) = grep { $_->{backup}{label} eq $plan->{label} } @of_line;
	return "the plan takes $plan->{branch}/$plan->{timeline} from $plan->{label}, expected "
	  . join ' or ', map { Pitr::Tree::name($_->{line}) . " from $_->{backup}{label}" } @alike unless $as;
	my @lines = Pitr::Tree::ancestry($as->{line});
	my @path = map { $lines[ $_ - 1 ]{timeline} . ' to ' . Pitr::Tree::lsn_text($lines[$_]{fork}) } 1 .. $#lines;
	my @said = map { $_->{timeline} . ($_->{end_lsn} ? " to $_->{end_lsn}" : '') } @{ $plan->{timeline_path} };
	my @problems = differs('timeline path', join(', ', @said), join ', ', @path, $lines[-1]{timeline});
	push @problems, differs('at_end_of_archive', $plan->{at_end_of_archive} ? 1 : 0, $as->{is_at_end} ? 1 : 0);
	push @problems, same_end('last commit', $plan->{last_commit}, $as->{commit})
	  # It looks no further back than the segment in which the backup begins.
	  if $plan->{last_commit} || ($as->{commit} && $as->{commit}{lsn} >= $as->{backup}{start});
	push @problems, same_end('first one behind', $plan->{next}, $as->{next});
	return @problems;
}

# A commit or rollback as the plan says it, and as it was.
sub same_end {
	my ($what, $said, $was) = @_;
	return $said ? "$what: LSN $said->{lsn}, expected none" : () unless $was;
	return "$what: none, expected one at LSN " . Pitr::Tree::lsn_text($was->{lsn}) unless $said;
	return differs("LSN of the $what", Pitr::Tree::number_of($said->{lsn}), $was->{lsn}),
	  differs("xid of the $what", $said->{xid}, $was->{xid}),
	  differs("time of the $what", $said->{time}, "$was->{time}+00"),
	  differs("rollback of the $what", $said->{rollback} ? 1 : 0, is_abort($was) ? 1 : 0),
	  differs("timeline of the $what", $said->{timeline}, $was->{line}{timeline});
}

# What the server that was started says: a hash, or a problem.
sub ask_server {
	my ($site, $server) = @_;
	my @connection = ('-h', $server->{host}, '-p', $server->{port}, '-d', 'postgres');
	my ($status, $stdout, $stderr) = Pitr::run_program([ $site->{node}->bin . '/psql', '-XAtq', @connection,
		'-c', q{SELECT json_build_object('lsn', pg_last_wal_replay_lsn(), 'time', pg_last_xact_replay_timestamp()::text,
			'xid', (pg_last_committed_xact()).xid::text, 'committed', ((pg_last_committed_xact()).timestamp)::text,
			'churn', (SELECT sum(value) FROM oracle_churn), 'state', pg_get_wal_replay_pause_state())},
		'-c', Pitr::Oracle::rows_query() ], timeout => 60, env => { PGTZ => 'UTC', PGDATESTYLE => 'ISO' });
	return "the server does not answer: $stderr" if $status != 0;
	my ($json, $rows) = split /\n/, $stdout, 2;
	return { %{ JSON::decode_json($json) }, rows => $rows // '' };
}

sub stop_server {
	my ($directory) = @_;
	my ($pid) = -e "$directory/postmaster.pid" ? read_file("$directory/postmaster.pid") =~ /^(\d+)/ : ();
	return unless defined $pid && kill 'QUIT', $pid;
	wait_until(sub { !kill 0, $pid }) or die "the server in \"$directory\" does not stop\n";
	return;
}

# PostgreSQL writes only as many digits of a fraction as there are.
sub plain_time {
	my ($time) = @_;
	my ($second, $fraction) = ($time // return 'none') =~ /^([^.]*?)(?:\.(\d+))?\+00$/;
	return "$second." . substr(($fraction // '') . '000000', 0, 6);
}

# The server against the oracle.
sub check_server {
	my ($site, $said, $outcome) = @_;
	my ($tree, $line) = ($site->{tree}, $outcome->{line});
	my ($upto, $from) = ($outcome->{upto}, $outcome->{backup}{start});
	my @problems;
	my $rows = $tree->rows($line, $upto);
	push @problems, sprintf 'rows: %d, expected %d', scalar(split /\n/, $said->{rows} =~ s/\n$//r), scalar(split /\n/, $rows)
	  if $said->{rows} =~ s/\n$//r ne $rows;
	my @committed = grep { $_->{kind} eq 'commit' && $_->{line}{rows}{ $_->{xid} } && $_->{lsn} <= $upto } $tree->events($line);
	push @problems, differs('updates', $said->{churn}, scalar @committed);

	my @ends = $tree->ends($line);
	my $lsn = Pitr::Tree::number_of($said->{lsn});
	my $replayed = $tree->record_before($line, $lsn);
	my $last = $tree->record_before($line, $upto + 1);
	push @problems, "replay ended at $said->{lsn}, expected just behind the record at " . Pitr::Tree::lsn_text($last->{lsn})
	  if $outcome->{is_exact} && $replayed != $last;
	my $next = $outcome->{next};
	push @problems, "replay ended at $said->{lsn}, behind a commit or rollback at " . Pitr::Tree::lsn_text($next->{lsn})
	  if $next && $lsn > $next->{lsn};
	my @replayed = grep { $_->{lsn} >= $from && $_->{lsn} < $lsn } @ends;
	my ($last_commit) = reverse grep { is_commit($_) } @replayed;
	my $none = { time => 'none', xid => 'none' };
	# A commit after which replay stopped for its LSN is not yet in pg_last_xact_replay_timestamp() (recoveryStopsAfter()
	# returns before it is noted).
	my $is_unnoted = @replayed && $replayed[-1] == $replayed && $said->{is_stopped_by_lsn};
	my $last_noted = $replayed[ $is_unnoted ? -2 : -1 ] // $none;
	push @problems, differs('last commit or rollback replayed', plain_time($said->{time}), $last_noted->{time}),
	  differs('last committed transaction', $said->{xid}, ($last_commit // $none)->{xid}),
	  differs('commit time of it', plain_time($said->{committed}), ($last_commit // $none)->{time});
	my $commit = $outcome->{commit};
	push @problems, 'the last commit of the oracle was not replayed'
	  if $commit && $commit->{lsn} >= $from && (!$last_commit || $last_commit->{lsn} != $commit->{lsn});
	return @problems;
}

sub check_reached {
	my ($site, $target, $outcome) = @_;
	my @options = target_options($target);
	my ($status, $stdout, $stderr) = run_restore($site, '--dry-run', '--json', @options);
	return "the plan is refused: $stderr" if $status != 0;
	my $plan = JSON::decode_json($stdout);
	my @problems = check_plan($site, $plan, $outcome);
	my $directory = "$site->{directory}/restored";
	($status, $stdout, $stderr) = run_restore($site, '--start', '--json', @options, '--target-action=pause', '-D', $directory);
	my $done = $status == 0 ? JSON::decode_json($stdout) : undef;
	push @problems, $done ? check_done($site, $done, $plan, $outcome) : "not restored, status $status: $stderr";
	stop_server($directory);
	File::Path::remove_tree($directory);
	return @problems;
}

# What pitr-restore --start says itself, then what the server says.
sub check_done {
	my ($site, $done, $plan, $outcome) = @_;
	my $canonical = JSON->new->canonical;
	my @problems;
	for my $member (qw(label branch timeline_path last_commit next stop_lsn at_end_of_archive)) {
		my ($now, $before) = map { $canonical->encode([ $_->{$member} ]) } $done, $plan;
		push @problems, differs("$member of the plan that was carried out", $now, $before);
	}
	push @problems, 'not as planned: ' . join '; ', @{ $done->{reached}{differences} } unless $done->{reached}{as_planned};
	my $said = ask_server($site, $done->{server});
	return (@problems, $said) unless ref $said;
	my $lsn = Pitr::Tree::number_of($said->{lsn});
	push @problems, differs('LSN that was reached', $done->{reached}{lsn}, $said->{lsn}),
	  differs('state that was reached', $done->{reached}{state}, $said->{state}),
	  differs('timeline that was reached', $done->{reached}{timeline},
		Pitr::Tree::owner_at($outcome->{line}, $lsn - 1)->{timeline});
	$said->{is_stopped_by_lsn} = $done->{reached}{server_says} =~ /after WAL location/;
	return (@problems, check_server($site, $said, $outcome));
}

# --- all of them ------------------------------------------------------------------------------------------------------

sub describe {
	my ($target) = @_;
	return "$target->{title}: " . join ' ', map { /[^\w\/.:=@%+,-]/ ? "'$_'" : $_ } target_options($target);
}

# Undef, or what is wrong.
sub check {
	my ($site, $target, $outcome) = @_;
	my @problems = $outcome->{is_refused} ? check_refused($site, $target) : check_reached($site, $target, $outcome);
	return @problems ? join "\n", @problems : undef;
}

sub run_version {
	my ($version) = @_;
	srand $seed;
	note("TEST_PITR_SEED=$seed, PostgreSQL $version");
	my $started = Time::HiRes::time();
	my $repo = repo("tree$version");
	my $tree = grow_tree($version, $repo);
	my @names = map { sprintf '%s (from %s)', Pitr::Tree::name($_), Pitr::Tree::lsn_text($_->{fork}) } $tree->lines;
	note(sprintf 'the tree of %s took %.1f s', join(', ', @names), Time::HiRes::time() - $started);

	my %site = (tree => $tree, repo => $repo, node => ($tree->lines)[0]{node});
	my $place = sub { my ($number) = @_; return { %site, directory => directory("worker${version}_$number") } };
	my (@checks, %count);
	for my $number (0 .. $targets_count - 1) {
		my $target = random_target($tree, $recipes[ $number % @recipes ]);
		my $outcome = $tree->outcome($target);
		my $expected = $outcome->{is_refused} ? 'refused' : 'reached';
		my $title = describe($target) . ": $expected" . ($outcome->{is_refused} ? " ($outcome->{why})" : '');
		push @checks, [ $title, sub { my ($site) = @_; return check($site, $target, $outcome) } ];
		$count{"$target->{kind} $expected"}++;
		$count{$expected}++;
	}
	note("PostgreSQL $version, $targets_count targets: " . join ', ', map { "$_ $count{$_}" } sort keys %count);
	Pitr::Pool::run(processes => $workers_count, place => $place, checks => \@checks);
	note(sprintf 'all of it took %.1f s', Time::HiRes::time() - $started);
	return;
}

run_version($_) for @versions;
done_testing();
