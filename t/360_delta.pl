# pitr-restore --delta: a stopped data directory of the same cluster becomes what an ordinary restore would have made, byte
# for byte, whatever was done to it; little is fetched for that; killed anywhere it leaves what cannot be started.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA ();
use File::Find  ();
use File::Path  ();
use Pitr;
use POSIX ();

my $row = 0;
# With a key and without one: two versions in turn are enough to see both.
my @versions = pg_versions();
@versions = @versions[ 0, -1 ] if @versions > 2 && !is_full_run();
for my $version (@versions) { run_version($version, ++$row) }
done_testing();

# ----------------------------------------------------------------------------------------------------------------------

sub mode_of { my ($path) = @_; return sprintf '%04o', (lstat $path)[2] & 07777 }

# Every file below the directories with its content, links as such.
sub contents_of {
	my (@directories) = @_;
	my %contents;
	for my $base (@directories) {
		File::Find::find({ no_chdir => 1, wanted => sub {
			my $name = substr $_, length $base;
			return if $name =~ m{^/pitr\.catalog};    # says when it was written
			$contents{"$name mode"} = mode_of($_);
			$contents{$name} = -l $_ ? 'link ' . readlink : -d _ ? 'directory' : !-f _ ? 'special' : Digest::SHA->new(256)->addfile($_)->hexdigest;
		} }, $base);
	}
	return \%contents;
}

sub differences {
	my ($left, $right) = @_;
	my %names = map { $_ => 1 } keys %$left, keys %$right;
	return join ', ', grep { ($left->{$_} // 'nothing') ne ($right->{$_} // 'nothing') } sort keys %names;
}

sub is_same { my ($left, $right, $title) = @_; return is(differences($left, $right), '', $title) }

# Changes bytes behind the back of everybody who looks at sizes and times.
sub change_unseen {
	my ($path, $offset, $count) = @_;
	my @times = (stat $path)[ 8, 9 ];
	open my $file, '+<', $path or die "could not open \"$path\": $!\n";
	binmode $file;
	seek $file, $offset, 0;
	read $file, my $content, $count // 1;
	$content ^= "\1" x length $content;
	seek $file, $offset, 0;
	print $file $content;
	close $file or die;
	utime @times, $path;
	return;
}

# The file of a relation.
sub path_of { my ($node, $relation) = @_; return $node->data_dir . '/' . $node->query("SELECT pg_relation_filepath('$relation')") }

sub copy_tree {
	my ($source, $target) = @_;
	File::Path::remove_tree($target);
	system('cp', '-a', $source, $target) == 0 or die "could not copy \"$source\"\n";
	return;
}

# What a restore leaves, but for what says where the tablespace is, and what the branch of the copy is called.
sub restored {
	my ($data, $space) = @_;
	my $contents = contents_of($data, $space);
	$contents->{'/pitr.branch'} = 'a branch' if -e "$data/pitr.branch";
	$contents->{'/postgresql.auto.conf'} = read_file("$data/postgresql.auto.conf") =~ s/^pitr\.branch = \K.*$//mr
	  if -e "$data/postgresql.auto.conf";
	my ($link) = grep { m{^/pg_tblspc/\d+$} } keys %$contents;
	delete @$contents{ $link // (), '/tablespace_map', '/other', '/other mode' };
	return $contents;
}

# Everything that may happen to a directory that no server looks after; `outside` is what must not be touched.
sub harm {
	my ($data, $space, $outside) = @_;
	my @files = grep { -s $_ } glob "$data/base/5/*";
	my ($small, $removed, $linked, $blocked, $piped, $cut, $longer, $second) = @files[ 10 .. 17 ];
	change_unseen($small, 3);
	unlink $removed;
	unlink $linked and symlink "$outside/precious", $linked;
	unlink $blocked and mkdir $blocked and write_file("$blocked/in", 'x');
	unlink $piped and POSIX::mkfifo($piped, 0600);
	damage($cut, 'truncate', size => 4096);
	damage($longer, 'extend', size => 100_000);
	unlink "$outside/second"; # a second name, as of a snapshot made of links
	link $second, "$outside/second" or die "could not link: $!\n";
	change_unseen($second, 100);
	File::Path::remove_tree("$data/base/1");
	write_file("$data/base/1", 'a file in the place of a directory');
	File::Path::remove_tree("$data/pg_wal");
	symlink "$outside/wal", "$data/pg_wal";
	symlink $outside, "$data/base/outside";
	mkdir "$data/junk" and write_file("$data/junk/file", 'x') and chmod 0500, "$data/junk";
	write_file("$data/$_", 'x') for 'pg_control.junk', 'base/5/99999', 'standby.signal', 'backup_label.old', 'pg_xact/FFFF';
	write_file("$data/postmaster.pid", "0\n");
	symlink "$outside/wal", "$data/pg_tblspc/99999";
	write_file("$space/other", 'not PostgreSQL\'s');
	my ($in_space) = glob "$space/PG_*/*";
	write_file("$in_space/99999", 'x');
	return;
}

sub run_version {
	my ($version, $number) = @_;
	my $title = "PostgreSQL $version" . ($number % 2 ? ', key' : '');
	my $repo  = repo("row$number", key => $number % 2);
	my $node  = cluster("row$number", version => $version, repo => $repo, log_commits => 1, conf => "autovacuum = off\n",
		initdb => ['--allow-group-access']);
	my $source_space = directory("row$number-space");
	$node->query("CREATE TABLESPACE one LOCATION '$source_space'");
	$node->query('CREATE TABLE in_one TABLESPACE one AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 60000) g');
	$node->query('CREATE TABLE big AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 400000) g');
	$node->query('CREATE TABLE other AS SELECT g AS id FROM generate_series(1, 1000) g');
	$node->query('CREATE INDEX ON big (id)');
	$node->query('VACUUM FREEZE');    # reading it later changes no page
	my $sum    = 'SELECT count(*), sum(hashtext(text)) FROM big';
	my $before = $node->query($sum);
	my $oracle = oracle($node);
	$oracle->load(transactions => 50);
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], "$title: a backup");
	$oracle->load(transactions => 50);
	$node->archive_all;
	$oracle->commits;
	$node->archive_all;
	$node->stop;
	my ($backup) = @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], '… is listed')->{backups} };

	# What an ordinary restore makes of it, and one that lives on.
	my @plain = ('pitr-restore', $repo->options, '-j2');
	my $fresh = directory("row$number-fresh");
	my $onto  = sub { my ($data, $space) = @_; return (@plain, '-D', $data, '-T', "$source_space=$space") };
	run_ok([ $onto->("$fresh/data", "$fresh/space") ], "$title: an ordinary restore");
	my $reference = restored("$fresh/data", "$fresh/space");
	my $copy = Pitr::Cluster->new("copy$number", install_path => $node->install_path);
	my ($data, $space) = ($copy->data_dir, $copy->basedir . '/space');
	$copy->{pitr_version} = $version;
	my @onto  = $onto->($data, $space);
	my $begin = sub { $copy->{pitr_has_foreign_address} = 1; return $copy->begin };
	my $empty = run_json([ @onto, '--delta', '--json' ], "$title: --delta where nothing is, is an ordinary restore")->{delta};
	is($empty->{kept_bytes}, 0, '… which keeps nothing');
	is_same(restored($data, $space), $reference, '… and makes the same');
	$begin->();
	is_restored_to($copy, $oracle, { latest => 1 }, '… with all rows');
	my $big = path_of($copy, 'big');
	$copy->query('UPDATE big SET text = \'changed\' WHERE id BETWEEN 1000 AND 1100');
	$copy->query('DROP TABLE other');
	$copy->query('CREATE TABLE later AS SELECT g AS id FROM generate_series(1, 50000) g');
	$copy->query('UPDATE in_one SET text = upper(text) WHERE id = 30000');
	$copy->query('CREATE DATABASE later');
	run_fails([ @onto, '--delta' ], 2, qr/a server is running in "\Q$data\E" \(process \d+\)\n.*hint: Stop it/, 'a running server is refused');
	$copy->stop;
	refused($repo, $node, $data, $space, $onto) if $number == 1;

	my $outside = directory("row$number-outside");
	mkdir "$outside/wal" and write_file("$outside/wal/precious", 'wal');
	write_file("$outside/precious", 'data');
	harm($data, $space, $outside);
	change_unseen($big, 10_000_000, 5);
	my $is_outside = contents_of($outside);
	my $harmed     = directory("row$number-harmed");
	copy_tree($_->[0], "$harmed/$_->[1]") for [ $data, 'data' ], [ $space, 'space' ];

	my $delta = run_json([ @onto, '--delta', '--json' ], "$title: --delta onto a directory that was used and harmed")->{delta};
	my $whole = 0;
	$whole += -s $repo->path . "/$_" for $repo->objects(qr{/pack/});
	note(sprintf '%.1f MB of %.1f MB kept, %.1f MB written, %.1f MB of %.1f MB fetched', map { $_ / 1e6 }
		$delta->{kept_bytes}, $backup->{database_bytes}, $delta->{written_bytes}, $delta->{fetched_bytes}, $whole);
	my $left_out = $backup->{database_bytes} - $delta->{kept_bytes} - $delta->{written_bytes};
	ok($left_out >= 0 && $left_out < 20_000, '… every byte is kept or written, but for pitr.catalog') or diag("left out: $left_out");
	cmp_ok($delta->{written_bytes}, '<', 0.4 * $backup->{database_bytes}, '… few are written');
	cmp_ok($delta->{fetched_bytes}, '<', 0.6 * $whole, '… and not all is fetched');
	is_same(restored($data, $space), $reference, 'the directory is what an ordinary restore makes');
	is(read_file("$space/other"), 'not PostgreSQL\'s', 'what lies beside PostgreSQL\'s files in a tablespace stays');
	is_same(contents_of($outside), $is_outside, 'nothing outside of it was touched');
	my ($link) = glob "$data/pg_tblspc/*";
	is(readlink $link, $space, 'and the tablespace is linked');

	$begin->();
	is_restored_to($copy, $oracle, { latest => 1 }, '… with all rows');
	is($copy->query($sum), $before, '… and those of the large table');
	is($copy->query('SELECT count(*), count(*) FILTER (WHERE text <> lower(text)) FROM in_one'), '60000|0', '… and of the tablespace');
	run_ok([ $copy->bin . '/pg_amcheck', $copy->connection, '--all', '--install-missing', '--heapallindexed' ], '… pg_amcheck finds nothing');
	$copy->stop;
	run_ok([ $copy->bin . '/pg_checksums', '--check', '-D', $data ], '… nor does pg_checksums');
	killed($copy, $space, \@onto, $harmed, $reference) if $number == 1;
	return;
}

# Every refusal leaves the directory as it is.
sub refused {
	my ($repo, $node, $data, $space, $onto) = @_;
	my $before = contents_of($data, $space);
	my $other  = cluster('other', version => $node->version, start => 0);
	my $other_identifier = ($other->data_dir && `$other->{_install_path}/bin/pg_controldata @{[ $other->data_dir ]}`) =~ /system identifier:\s+(\d+)/ ? $1 : die;
	my $full   = directory('full');
	write_file("$full/precious", 'data');
	my @delta = ($onto->($data, $space), '--delta');
	run_fails([ $onto->($data, $space) ], 2, qr/is not empty/, 'without --delta the directory is in use');
	run_fails([ $onto->($other->data_dir, "$full/space"), '--delta' ], 2,
		qr/another cluster: its system identifier is $other_identifier, the backup's is \d+\n/, 'another cluster\'s directory is refused, naming both');
	run_fails([ $onto->($full, "$full-space"), '--delta' ], 2, qr/"\Q$full\E" is neither empty nor a data directory/, 'so is one that is none');
	my $control = "$data/global/pg_control";
	rename $control, "$control.away" or die;
	run_fails([@delta], 2, qr/does not prove which cluster it belongs to: .*pg_control.*\n.*hint: Remove the directory/, '… and one without pg_control');
	write_file($control, 'x' x 8192);
	run_fails([@delta], 2, qr/does not prove which cluster it belongs to/, '… and one whose pg_control is damaged');
	rename "$control.away", $control or die;
	my $ready = "$data/pg_wal/archive_status/0000000100000000000000FF.ready";
	write_file($ready, '');
	run_fails([@delta], 2, qr/has WAL that is not in the archive: "0000000100000000000000FF" is the first\n.*hint: .*--drain/, '… and one with WAL that is nowhere else');
	unlink $ready;
	run_fails([ $onto->($data, $full), '--delta' ], 2, qr/tablespace directories are in use: "\Q$full\E"/, '… and a tablespace\'s that it does not lead to');
	is_same(contents_of($data, $space), $before, 'nothing was changed');
	return;
}

# Killed anywhere; then it cannot be started, unless nothing was changed or all is done; and the same command completes it.
sub killed {
	my ($copy, $space, $onto, $harmed, $reference) = @_;
	my $data   = $copy->data_dir;
	my $before = contents_of("$harmed/data", "$harmed/space");
	my %count  = (untouched => 0, unstartable => 0, complete => 0);
	my $without_marker = sub { my ($contents) = @_; delete @$contents{ '/pitr_restore_in_progress', '/pitr_restore_in_progress mode' }; return $contents };
	kill_at_every_syscall('killed anywhere, --delta leaves what cannot be started, and is gone on with',
		command => [ @$onto, '--delta' ],
		before  => sub { copy_tree("$harmed/data", $data); copy_tree("$harmed/space", $space) },
		every   => is_full_run() ? 97 : 797,
		may_survive => 0.4,    # which thread does what is left to chance
		after   => sub {
			my ($was_killed) = @_;
			my $has_control = -e "$data/global/pg_control";
			if ($has_control && $was_killed && !-e "$data/backup_label") {
				$count{untouched}++;
				my $now = $without_marker->(contents_of($data, $space));
				delete @$now{ grep { /^\/pitr_restore_(?:trial|in_progress\.[0-9a-f]+\.tmp)/ } keys %$now };
				my $different = differences($now, $before);
				return "startable, and changed: $different" if $different ne '';
			}
			elsif ($has_control) {
				$count{complete}++;
				my $different = differences($without_marker->(restored($data, $space)), $reference);
				return "startable, and not complete: $different" if $different ne '';
			}
			else {
				my ($status, undef, $stderr) = run_program([ $copy->bin . '/postgres', '-D', $data ]);
				return "a server starts: $status: $stderr" if $status == 0 || $stderr !~ /pg_control/ && -e "$data/postgresql.conf";
				$count{unstartable}++;
			}
			return if !$was_killed;
			my ($status, undef, $stderr) = run_program([ @$onto, '--delta' ]);
			return "going on with it ended with $status: $stderr" if $status != 0;
			my $different = differences(restored($data, $space), $reference);
			return $different eq '' ? undef : "gone on with, it differs: $different";
		});
	note(join ', ', map { "$count{$_} $_" } sort keys %count);
	cmp_ok($count{unstartable}, '>', 1, 'some of these left what cannot be started');

	# Interrupted, it belongs to --delta: an ordinary restore would not remove what is too much.
	# Killed when it has just emptied the directory of the first database that is too much: the first two are its own.
	copy_tree("$harmed/data", $data);
	run_program([ 'strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=rmdir', '-e', 'inject=rmdir:signal=KILL:when=3',
		"$Pitr::BIN/$onto->[0]", @$onto[ 1 .. $#$onto ], '--delta' ]);
	isnt(differences(contents_of("$data/base"), contents_of("$harmed/data/base")), '', '--delta is killed when it has changed little');
	ok(-e "$data/pitr_restore_in_progress" && !-e "$data/global/pg_control", '… and nothing can be started any more');
	run_fails([@$onto], 2, qr/interrupted restore with --delta\n.*hint: Go on with --delta/, '… is not gone on with without it');
	run_ok([ @$onto, '--delta', '--target-immediate' ], '… but also to another target');
	ok(-e "$data/global/pg_control" && !-e "$data/pitr_restore_in_progress", '… and is complete then');
	return;
}
