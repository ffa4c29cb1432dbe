# The three-in-the-morning path: a server whose last WAL is not archived is restored in its place, or from what is left
# of it, and nothing that was committed is lost.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

# A server that stops archiving, goes on, and crashes. Returns it and the value of its last row.
sub broken {
	my ($name, $repo, %options) = @_;
	my $node = cluster($name, repo => $repo, initdb => ['--wal-segsize=1'], conf => "autovacuum = off\n");
	$node->query('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
	$options{before}->($node) if $options{before};
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup is taken');
	$node->query('INSERT INTO t VALUES (2)');
	$node->archive_all;
	$node->query(q{ALTER SYSTEM SET archive_command = 'false'});
	$node->query('SELECT pg_reload_conf()');
	for my $i (3 .. 5) {
		$node->query("INSERT INTO t VALUES ($i)");
		$node->switch_wal;
	}
	$node->query('INSERT INTO t VALUES (6)');
	$node->stop('immediate');
	return $node;
}

sub rows { my ($node) = @_; return $node->query('SELECT string_agg(i::text, \',\' ORDER BY i) FROM t') }
sub aside { my ($node) = @_; my @found = glob $node->data_dir . '.before-*'; return @found }

# The server starts as it lies there.
sub run_restored {
	my ($node, $title) = @_;
	$node->{_pid} = undef;
	return $node->begin;
}

# --- in place ---------------------------------------------------------------------------------------------------------
my $repo = repo('main');
my ($space) = map { directory("space$_") } 1 .. 2;
my $node = broken('source', $repo, before => sub {
	$_[0]->query("CREATE TABLESPACE one LOCATION '$space'");
	$_[0]->query('CREATE TABLE there (i int) TABLESPACE one');
});
my $directory = $node->data_dir;
my @restore = ('pitr-restore', $repo->options, '-D', $directory, '--in-place');

my $before = $repo->contents;
my $plan = run_ok([ @restore, '--dry-run' ], 'a dry run says what would be done');
like($plan, qr/from "\Q$directory\E\/pg_wal"/, '… that it counts on WAL that is not archived');
is_deeply($repo->contents, $before, '… and stores nothing');
is(scalar(aside($node)), 0, '… and moves nothing');

$node->start;
run_fails([@restore], 2, qr/a server is running in "\Q$directory\E"/, 'a running server is refused');
$node->stop('immediate');
run_fails([ 'pitr-restore', $repo->options, '-D', directory('nothing'), '--in-place' ], 2, qr/there is no data directory in/,
	'an empty directory is refused');
run_fails([ @restore, '--delta' ], 2, qr/--in-place and --delta exclude each other/, 'together with --delta, too');

my ($stdout, $stderr) = run_ok([@restore], 'it is restored in its place');
my ($old) = aside($node);
ok(defined $old && -e "$old/global/pg_control", 'the old directory is beside it, whole');
like($stdout, qr/^The directory as it was is "\Q$old\E"\.$/m, '… and named');
like($stderr, qr/postgresql\.conf, pg_hba\.conf and the like are those of the backup/, '… as the copy of the settings that is used');
ok(!-e "$directory.in-place", 'nothing else is left beside it');
is(scalar(grep { /\.before-/ } map { s{.*/}{}r } glob "$space/*"), 1, 'the old files of the tablespace are aside');
run_restored($node);
is(rows($node), '1,2,3,4,5,6', 'every committed row is there, also those of the last, unfinished segment');
$node->query('INSERT INTO there VALUES (1)');
ok(!-e "$directory/pitr.branch", 'it stays on its branch');
$node->query('ALTER SYSTEM RESET archive_command');
$node->stop;

# --- in place, to a point in time; the second time -----------------------------------------------------------------
my $fact = run_json([ 'pitr-restore', $repo->options, '--dry-run', '--json', '--target-timeline=1' ], 'the plan of the first timeline as JSON');
like($fact->{wal_partial} // '', qr/\.partial$/, '… names the .partial');

# --- killed at any moment ---------------------------------------------------------------------------------------------
# The directory is laid out anew before each kill; after it, there is the old one, or a new one that can be gone on with.
{
	my $small = repo('small');
	my $victim = broken('victim', $small);
	my $target = $victim->data_dir;
	my $template = directory('template') . '/pgdata';
	system('cp', '-a', $target, $template) == 0 or die;
	my @command = ('pitr-restore', $small->options, '-D', $target, '--in-place', '--log-level=warning');
	run_ok([@command], 'once without a kill');
	my $lay_out = sub {
		system("rm -rf '$target' '$target'.before-* '$target'.in-place && cp -a '$template' '$target'") == 0 or die;
	};
	my $wrong = sub {
		my ($killed) = @_;
		my $is_begun = -e "$target/pitr_restore_in_progress";
		my @aside = grep { -e "$_/global/pg_control" } aside($victim);
		return 'there is neither the old directory nor a new one' unless -e "$target/global/pg_control" || @aside;
		return 'what can be started is not the old one' if !$is_begun && @aside && -e "$target/global/pg_control" && !-e "$target/backup_label";
		return undef unless $killed;
		my ($status, undef, $said) = run_program([@command]);
		return undef if $status == 0 && -e "$target/backup_label" && grep { -e "$_/global/pg_control" } aside($victim);
		return "the same command does not go on: $said";
	};
	if (is_full_run()) {
		kill_at_every_syscall('a restore in place', command => \@command, every => 50, from => qr/in-place/, may_survive => 0.6,
			before => $lay_out, after => $wrong);
	}
	# Each of the few calls by which it changes names, once.
	my @points = ([ renameat2 => 1 ], [ mkdir => 2 ], [ rename => 1 ], [ rename => 2 ], [ unlink => 1 ], [ fsync => 3 ]);
	my @failed;
	for my $point (@points) {
		my ($call, $when) = @$point;
		$lay_out->();
		my ($status) = run_program([ 'strace', '-f', '-qq', '-o', '/dev/null', '-e', "trace=$call",
			'-e', "inject=$call:signal=KILL:when=$when", "$Pitr::BIN/pitr-restore", @command[ 1 .. $#command ] ]);
		my $said = $wrong->($status == -9 || $status == 137);
		push @failed, "$call #$when: $said" if defined $said;
	}
	is_deeply(\@failed, [], 'killed as it changes a name: the old directory, or one that the same command goes on with');
	$victim->{_pid} = undef;
	run_restored($victim);
	is(rows($victim), '1,2,3,4,5,6', 'the last one that was gone on with has every row');
	$victim->stop;
}

# --- what is left of a lost server ---------------------------------------------------------------------------------
{
	my $rest = repo('rest');
	my $lost = broken('lost', $rest);
	my $wal = directory('surviving');
	system("cp '" . $lost->data_dir . "'/pg_wal/0* '$wal'") == 0 or die;
	my %had = map { $_ => read_file($_) } glob "$wal/*";
	run_ok([ 'rm', '-rf', $lost->data_dir ], 'the server is lost but for its pg_wal');

	my $objects = $rest->contents;
	my $known = run_json([ 'pitr-restore', $rest->options, '--dry-run', '--json' ], 'without it');
	my $more = run_json([ 'pitr-restore', $rest->options, '--dry-run', '--json', "--wal-from=$wal" ], 'a dry run with it');
	cmp_ok($more->{wal_segments}, '>', $known->{wal_segments}, '… reaches further');
	is_deeply($rest->contents, $objects, '… and stores nothing');

	my $copy = restore('copy', source => $lost, repo => $rest, options => ["--wal-from=$wal"]);
	is(rows($copy), '1,2,3,4,5,6', 'restored with it, every row is there') if defined $copy;
	$copy->stop if defined $copy;
	is_deeply({ map { $_ => read_file($_) } glob "$wal/*" }, \%had, 'the surviving files are as they were');

	my $other = cluster('other', initdb => ['--wal-segsize=1']);
	$other->stop;
	run_fails([ 'pitr-restore', $rest->options, '--dry-run', '--wal-from=' . $other->data_dir ], 2,
		qr/is of the system identifier \d+, not of \d+/, "another server's WAL is refused");
}

done_testing();
