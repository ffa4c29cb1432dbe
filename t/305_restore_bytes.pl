# How the bytes of a backup come back: by ranges of packs, with holes where there is nothing but zeros, whatever memory
# there is; durable before the restore is complete; and what cannot be written or synced fails it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA ();
use Fcntl qw(:DEFAULT);
use File::Find ();
use File::Path ();
use Pitr;

my $repo = repo('main', key => 1, compress => 'lz4');
my $node = cluster('source', version => newest_version(), repo => $repo, initdb => ['--wal-segsize=1'], conf => "autovacuum = off\n");

# --- files of every kind ------------------------------------------------------------------------------------------------

my $seed = 'seed';
my $size = 0;
# Bytes that do not compress, the same in every run.
sub noise {
	my ($count) = @_;
	my $bytes = '';
	while (length $bytes < $count) {
		$seed = Digest::SHA::sha512($seed);
		$bytes .= $seed;
	}
	return substr $bytes, 0, $count;
}

my $bytes = $node->data_dir . '/bytes';
mkdir $bytes, 0700 or die;
mkdir "$bytes/small", 0700 or die;
my @sizes = (0, 1, 511, 512, 4095, 4096, 4097, 8191, 8192, 20_000, 65_535, 65_536, 65_537, 262_143, 262_144, 300_001, 1_048_576);
write_file("$bytes/size_$_", noise($_)) for @sizes;
write_file("$bytes/large", noise(12_000_777));
write_file("$bytes/small/$_", noise(1 + $_ * 37 % 3000)) for 1 .. 400;
my $zeros = "\0" x 8_000_000;
substr $zeros, 3_000_005, 1, 'x';
write_file("$bytes/zeros", $zeros . 'the end');
write_file("$bytes/only_zeros", "\0" x 3_000_000);
write_file("$bytes/few_zeros", "\0" x 40_000);
write_file("$bytes/zeros_behind", noise(100_000) . "\0" x 1_000_000);

# Every file below a directory with its content.
sub contents_of {
	my ($directory) = @_;
	my %contents;
	File::Find::find({ no_chdir => 1, wanted => sub {
		$contents{ substr $_, length $directory } = Digest::SHA->new(256)->addfile($_)->hexdigest if -f;
	} }, $directory);
	return \%contents;
}

run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup');
$node->stop;
my $source = contents_of($bytes);
my ($pack) = sort { $b <=> $a } map { -s $repo->path . "/$_" } $repo->objects(qr{/pack/});
cmp_ok($pack, '>', 13_000_000, '… with a pack that is larger than any range of it');

my $target = "$Pitr::TEST_DIRECTORY/target";
my @plain  = ('pitr-restore', $repo->options, '-D', $target, '--target-immediate');
my $afresh = sub { File::Path::remove_tree($target); return };
# Runs the restore under strace; options for it come first.
sub traced { my ($options, @more) = @_; return ('strace', '-f', '-y', '-qq', '-o', "$Pitr::TEST_DIRECTORY/trace", @$options, "$Pitr::BIN/$plain[0]", @plain[ 1 .. $#plain ], @more) }
sub trace { return read_file("$Pitr::TEST_DIRECTORY/trace") }

# --- what comes back ----------------------------------------------------------------------------------------------------

run_ok([@plain], 'a restore');
is_deeply(contents_of("$target/bytes"), $source, '… gives back every byte');
sub allocated { my ($name) = @_; return 512 * (stat "$target/bytes/$name")[12] }
cmp_ok(allocated('zeros'), '<', 500_000, 'where there is nothing but zeros there is a hole');
cmp_ok(allocated('only_zeros'), '<', 100_000, '… also when the file has nothing else');
cmp_ok(allocated('zeros_behind'), '<', 500_000, '… or ends with it');
cmp_ok(allocated('large'), '>=', 12_000_000, '… and nowhere else');
run_ok([ $node->bin . '/pg_verifybackup', '-n', '-i', 'global/pg_control', '-i', 'tablespace_map', '-i', 'pitr.branch', '-i', 'pitr.restore', '-i', 'pitr.catalog', '-i', 'postgresql.auto.conf', $target ],
	'… and PostgreSQL finds what it backed up');

$afresh->();
run_ok([ traced([ '-e', 'trace=pread64' ], '--memory=32MB', '-j8') ], 'a restore with little memory and many jobs');
is_deeply(contents_of("$target/bytes"), $source, '… gives back the same');
my ($largest) = sort { $b <=> $a } trace() =~ m{pread64\(\d+<[^>]*/pack/[^>]*>.*?, (\d+), \d+\)}g;
cmp_ok($largest, '<', 2_000_000, '… and reads no pack whole');
cmp_ok($largest, '>', 200_000, '… but by ranges');

$afresh->();
run_ok([ @plain, '-j1' ], 'a restore with one job');
is_deeply(contents_of("$target/bytes"), $source, '… gives back the same');

# --- onto what is there -------------------------------------------------------------------------------------------------

sub change {
	my ($name, $offset, $content) = @_;
	open my $file, '+<', "$target/bytes/$name" or die "could not open \"$name\": $!\n";
	binmode $file;
	seek $file, $offset, 0;
	print $file $content;
	close $file or die;
	return;
}
change('zeros', 1_000_000, 'x' x 100_000);
change('large', 5_000_000, 'x');
change('size_65537', 65_536, "\0");
truncate "$target/bytes/only_zeros", 1_000_000;
unlink "$target/bytes/small/7", "$target/bytes/size_0", "$target/bytes/size_300001";
write_file("$target/bytes/size_0", 'no longer empty');
chmod 0400, "$target/bytes/small/8", "$target/bytes/small/9" or die;
write_file("$target/bytes/small/too_much", '');
my $delta = run_json([ @plain, '--delta', '--json' ], 'a restore onto a directory that was changed')->{delta};
is_deeply(contents_of("$target/bytes"), $source, '… gives back every byte');
is((stat "$target/bytes/small/8")[2], (stat "$bytes/small/8")[2], '… and every mode');
cmp_ok($delta->{written_bytes}, '<', 3_000_000, '… writes little');
cmp_ok($delta->{fetched_bytes}, '<', 10_000_000, '… and fetches little');

# --- what fails it ------------------------------------------------------------------------------------------------------

# It fails with this sentence, cannot be started, and is completed by the same command.
sub fails {
	my ($title, $options, $sentence) = @_;
	$afresh->();
	run_fails([ traced($options) ], 1, $sentence, $title);
	ok(!-e "$target/global/pg_control" && -e "$target/pitr_restore_in_progress", '… and what is there cannot be started');
	run_ok([@plain], '… the same command goes on with it');
	is_deeply(contents_of("$target/bytes"), $source, '… and gives back every byte');
	return;
}
my @whole_fails = ('-e', 'trace=syncfs', '-e', 'inject=syncfs:error=EIO');
my @no_whole    = ('-e', 'trace=fstatfs,fsync,rename', '-e', 'inject=fstatfs:error=ENOSYS');
my $has_syncfs  = do { $afresh->(); run_ok([ traced([ '-e', 'trace=syncfs,rename' ]) ], 'a restore, watched'); trace() =~ /syncfs/ };
if ($has_syncfs) {
	like(trace(), qr{syncfs\(\d+<\Q$target\E>\) += 0.*rename\(.*pg_control"\)}s, 'the file system is synced before pg_control is there');
	fails('a file system that cannot be synced fails the restore', \@whole_fails, qr/could not sync the file system of "\Q$target\E": Input\/output error/);
}
$afresh->();
run_ok([ traced(\@no_whole) ], 'where whole file systems cannot be trusted with it');
my ($synced) = trace() =~ m{^(.*)rename\([^\n]*pg_control"\)}ms;
is_deeply([ grep { $synced !~ m{fsync\(\d+<\Q$target$_\E>}s } map({ "/bytes$_" } sort keys %$source), '/bytes', '/bytes/small', '/base', '' ], [],
	'… every file and directory is synced before pg_control is there');
unlike($synced, qr/syncfs/, '… by itself');
# Counted in each thread: only those that sync file by file come so far.
fails('a file that cannot be synced fails the restore', [ @no_whole, '-e', 'inject=fsync:error=EIO:when=100' ],
	qr/could not sync "\Q$target\E\/.*": Input\/output error/);
fails('a file that cannot be written fails the restore', [ '-P', "$target/bytes/large", '-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=ENOSPC:when=2' ],
	qr/could not write "bytes\/large": No space left on device/);

# A file system that knows no direct writes.
$afresh->();
run_ok([ traced([ '-P', "$target/bytes/large", '-e', 'trace=fcntl', '-e', 'inject=fcntl:error=EINVAL' ]) ], 'where direct writes are refused');
like(trace(), qr/INJECTED/, '… which they were');
is_deeply(contents_of("$target/bytes"), $source, '… every byte is written all the same');
done_testing();
