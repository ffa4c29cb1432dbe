# pitr-fetch: exit status 1 means proven absent; everything that could not be found out is 200.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo = repo('main', key => 1, settings => { 'retry-for' => '1s' });
my $node = cluster('source', repo => $repo);
my @names = map { $node->archive_all } 1 .. 6;
$node->stop;
my $pgdata = $node->data_dir;
my @archived = map { s/.*\///r } $repo->objects(qr{/wal/00000001/00000000/[0-9A-F]{24}$});
my $last = $archived[-1];
my $after_last = sprintf '%s%08X', substr($last, 0, 16), hex(substr $last, 16) + 1;
my $middle = $archived[ @archived / 2 ];
my ($object) = map { $repo->path . "/$_" } $repo->objects(qr{/\Q$middle\E$});
my $kept = read_file($object);
my $target = "$pgdata/pg_wal/RECOVERYXLOG";
my @fetch = ('pitr-fetch', $repo->options);
my $signal = sub { my ($name) = @_; unlink glob "$pgdata/*.signal"; write_file("$pgdata/$name.signal", '') if $name };

$signal->('recovery');
run_ok([ @fetch, $middle, 'pg_wal/RECOVERYXLOG' ], 'a segment is fetched by relative path', in => $pgdata);
ok(read_file($target) eq read_file("$pgdata/pg_wal/$middle"), '… whole and the same') if -e "$pgdata/pg_wal/$middle";
unlink $target;
run_ok([ @fetch, $middle, $target ], '… and by an absolute one, as pg_rewind asks');

# --- proven absent ------------------------------------------------------------------------------------------------------
for my $name ($after_last, '00000001.history', '00000007.history', '000000070000000000000001') {
	unlink $target;
	my ($status, undef, $stderr) = run_program([ @fetch, $name, $target ]);
	ok($status == 1 && $stderr eq '' && !-e $target, "\"$name\" never was: 1, nothing written, nothing to complain about");
}

# --- everything else, as harm, who asks, status and sentence --------------------------------------------------------------
my $restore_object = sub { write_file($object, $kept) };
my $other_key = directory('other') . '/key';
run_ok([ 'pitr-catalog', 'keygen', $other_key ], 'another key');
my $blocked = directory('blocked');
my @harms = (
	[ 'a segment is missing in the middle', sub { unlink $object }, [], qr/is missing from the repository .* although "[0-9A-F]{24}" is there/ ],
	[ 'a bit flipped in the header',        sub { damage($object, 'flip', offset => 30) }, [], qr/error: could not fetch "$middle": object/ ],
	[ 'a bit flipped in a frame',           sub { damage($object, 'flip') }, [],               qr/error: could not fetch "$middle": object/ ],
	[ 'a bit flipped in the last tag',      sub { damage($object, 'flip', offset => -1) }, [], qr/error: could not fetch "$middle": object/ ],
	[ 'cut short',                          sub { damage($object, 'truncate') }, [],           qr/cut off/ ],
	[ 'one byte too many',                  sub { damage($object, 'extend') }, [],             qr/behind its end/ ],
	[ 'empty',                              sub { damage($object, 'empty') }, [],              qr/error: could not fetch/ ],
	[ 'another segment under the name',     sub { write_file($object, read_file($object =~ s/\Q$middle\E$/$last/r)) }, [], qr/was sealed as/ ],
	[ 'a wrong key',                        sub { }, ["--key-file=$other_key"],                qr/host key/ ],
	[ 'a host key, which cannot read WAL',  sub { }, ['--key-file=' . $repo->key . '.host'],   qr/is a host key/ ],
	[ 'no key',                             sub { write_file($repo->config, read_file($repo->config) =~ s/^key-file.*\n//mr) }, [], qr/key-file/ ],
	[ 'the repository is not mounted',      sub { rename $repo->path, $repo->path . '.away' }, [], qr/\Q@{[ $repo->path ]}\E/ ],
	[ 'an empty directory in its place',    sub { rename $repo->path, $repo->path . '.away'; mkdir $repo->path }, [], qr/is empty \(is it mounted\?\)/ ],
	[ 'another cluster\'s name',            sub { }, ['--cluster=other'],                      qr/not initialised/ ],
	[ 'an S3 server that is not there',     sub { }, ['--repo=s3://bucket/x', '--s3-endpoint=http://127.0.0.1:9'], qr/error: could not fetch/ ],
	[ 'a setting that is none',             sub { }, ['--no-such-setting=1'],                  qr/no-such-setting/ ],
);
for my $harm (@harms) {
	my ($title, $do, $options, $pattern) = @$harm;
	my %env = (env => { AWS_ACCESS_KEY_ID => 'a', AWS_SECRET_ACCESS_KEY => 'b', AWS_EC2_METADATA_DISABLED => 'true' });
	my $config = read_file($repo->config);
	for my $asks ('recovery', 'standby') {
		my $expected = $asks eq 'standby' && $title ne 'a setting that is none' ? 1 : 200;
		$signal->($asks);
		unlink $target;
		$do->();
		run_fails([ @fetch, @$options, $middle, $target ], $expected, $pattern, "$title, $asks: $expected, and why", %env);
		ok(!-e $target, '… and nothing was delivered');
		if (-e $repo->path . '.away') { rmdir $repo->path; rename $repo->path . '.away', $repo->path }
		write_file($repo->config, $config);
		$restore_object->();
	}
}
$signal->('recovery');
run_fails([ @fetch, $middle, "$blocked/nowhere/RECOVERYXLOG" ], 200, qr/nowhere/, 'a destination that cannot be written: 200');
unlink $target;
run_fails([ 'bash', '-c', 'ulimit -f 4000; exec "$@"', 'bash', "$Pitr::BIN/pitr-fetch", $repo->options, $middle, $target ], 200,
	qr/could not write .*: File too large/, 'no room for the whole segment: 200');
ok(!-e $target && !-e "$target.tmp", '… and nothing half is left');
run_fails([ @fetch, 'nonsense', $target ], 200, qr/"nonsense"/, 'a name that is none: 200');
run_fails([ @fetch, $middle ], 200, qr/DESTINATION/, 'no destination: 200');

# --- a gap that closes while it is probed ---------------------------------------------------------------------------------
unlink $object, $target;
my $late = fork // die;
if ($late == 0) { select undef, undef, undef, 1.5; write_file("$object.new", $kept); rename "$object.new", $object; POSIX::_exit(0) }
run_ok([ @fetch, '--retry-for=20s', $middle, $target ], 'a segment that arrives late is waited for');
waitpid $late, 0;

# --- ended and killed -------------------------------------------------------------------------------------------------------
unlink $object;
my $pid = fork // die;
if ($pid == 0) { open STDERR, '>', '/dev/null'; exec "$Pitr::BIN/pitr-fetch", $repo->options, '--retry-for=60s', $middle, $target }
select undef, undef, undef, 0.7;
kill TERM => $pid;
waitpid $pid, 0;
is($? & 127, 15, 'dies by SIGTERM when it is terminated');
$restore_object->();

unlink $target;
my $content = do { run_ok([ @fetch, $middle, $target ], 'fetched once more'); read_file($target) };
kill_at_every_syscall('pitr-fetch killed at every system call never delivers half a segment',
	command => [ 'pitr-fetch', $repo->options, $middle, $target ],
	before  => sub { unlink $target },
	after   => sub { !-e $target || read_file($target) eq $content ? undef : 'half a segment was delivered' },
	every   => $ENV{TEST_PITR_SANITIZE} ? 40 : 1);
run_ok([ @fetch, $middle, $target ], 'and the next run succeeds without help');

done_testing();
