# pitr-archive: exit status 0 means durably stored, and nothing else does.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo   = repo('main', compress => 'none');
my $node   = cluster('source', repo => $repo);
my $pgdata = $node->data_dir;
my @archive = ('pitr-archive', $repo->options);

# A finished segment of the server, kept aside: the server recycles its own.
my $name = $node->archive_all;
my $next = $node->archive_all;
my $kept = directory('kept');
my $content = read_file("$pgdata/pg_wal/$name");
write_file("$kept/$name", $content);
my ($object) = $repo->objects(qr/\Q$name\E$/);
ok(defined $object, 'the archiver stored the segment under its name');

# --- the same again, and another ------------------------------------------------------------------------------------
my $before = $repo->contents;
run_ok([ @archive, "$pgdata/pg_wal/$name" ], 'the same segment again: 0');
is_deeply($repo->contents, $before, '… and the repository is as it was');

my $other = $content;
substr($other, 9000, 1) ^= "\1";
my $elsewhere = directory('elsewhere');
write_file("$elsewhere/$name", $other);
my $said = run_fails([ @archive, "$elsewhere/$name" ], 1, qr/with other content, stored by host ".+" from ".+" \(process \d+\) at \d{4}-/,
	'other content under the name: 1, and who stored it when');
like($said, qr/^pitr-archive: hint: /m, '… with a way out');
is_deeply($repo->contents, $before, '… and the stored one is untouched');

# --- two at once ------------------------------------------------------------------------------------------------------
{
	my $won = 0;
	my $stored_ok = 1;
	for my $round (1 .. 8) {
		unlink $repo->path . "/$object";
		my @pids;
		for my $directory ($kept, $elsewhere) {
			my $pid = fork // die;
			if ($pid == 0) {
				open STDERR, '>', '/dev/null';
				exec "$Pitr::BIN/pitr-archive", $repo->options, "$directory/$name" or POSIX::_exit(9);
			}
			push @pids, $pid;
		}
		my @status = map { waitpid $_, 0; $? >> 8 } @pids;
		$won++ if "@status" eq '0 1' || "@status" eq '1 0';
		my $winner = $status[0] == 0 ? $content : $other;
		my $back = "$Pitr::TEST_DIRECTORY/back";
		run_program([ 'pitr-fetch', $repo->options, $name, $back ]);
		$stored_ok &&= read_file($back) eq $winner;
	}
	is($won, 8, 'of two racing pushes with different content exactly one wins, eight times of eight');
	ok($stored_ok, '… and what is stored is what the winner pushed');
	unlink $repo->path . "/$object";
	run_ok([ @archive, "$kept/$name" ], 'the segment is stored again');
}

# --- what is refused --------------------------------------------------------------------------------------------------
my $stranger = cluster('stranger', start => 0);
$stranger->start;
$stranger->switch_wal for 1 .. 3;
$stranger->stop;
my ($foreign) = sort grep { /^[0-9A-F]{24}$/ } map { s/.*\///r } glob $stranger->data_dir . '/pg_wal/0*';
my @refused = (
	# what                                   file and content                            sentence
	[ 'a name that is none',                 'something', 'x',                           qr/"something" is not/ ],
	[ 'a name in lower case',                '00000001000000000000000a', $content,       qr/is not/ ],
	[ 'a file that is not there',            '000000010000000000000099', undef,          qr/could not open/ ],
	[ 'an empty segment',                    '000000010000000000000088', '',             qr/was not archived/ ],
	[ 'a segment cut short',                 $name, substr($content, 0, 8192 * 10),      qr/was not archived/ ],
	[ 'a segment of zeroes',                 $name, "\0" x length $content,              qr/was not archived/ ],
	[ 'a segment under another name',        '000000010000000000000077', $content,       qr/was not archived/ ],
	[ 'a segment of another cluster',        $foreign, read_file($stranger->data_dir . "/pg_wal/$foreign"),
		qr/has the system identifier/ ],
	[ 'an empty history',                    '00000002.history', '',                     qr/is empty/ ],
	[ 'a history that is none',              '00000002.history', "nonsense\n",           qr/was not archived/ ],
);
my $number = 0;
$before = $repo->contents;
for my $case (@refused) {
	my ($title, $file, $bytes, $pattern) = @$case;
	my $directory = directory('refused/' . ++$number . '/pg_wal');
	write_file("$directory/$file", $bytes) if defined $bytes;
	run_fails([ @archive, "$directory/$file" ], 1, $pattern, "$title: 1, and why");
}
is_deeply($repo->contents, $before, 'nothing that was refused left a trace');

# --- a history and a .partial ----------------------------------------------------------------------------------------
write_file("$pgdata/pg_wal/00000002.history", "1\t0/3000000\tno recovery target specified\n");
run_ok([ @archive, 'pg_wal/00000002.history' ], 'a history is stored, by its relative path', in => $pgdata);
write_file("$pgdata/pg_wal/00000002.history", "1\t0/4000000\tanother promotion\n");
run_fails([ @archive, 'pg_wal/00000002.history' ], 1, qr/with other content/, '… and another of that name is refused',
	in => $pgdata);
unlink "$pgdata/pg_wal/00000002.history";
write_file("$kept/$next.partial", read_file("$pgdata/pg_wal/$next"));
run_ok([ @archive, "$kept/$next.partial" ], 'a .partial is stored beside the segment');

# --- repositories that are not one ------------------------------------------------------------------------------------
my $empty = directory('empty');
for my $case (
	[ "--repo=$Pitr::TEST_DIRECTORY/nowhere", qr/nowhere/,              'no repository directory' ],
	[ "--repo=$empty",                        qr/is empty \(is it mounted\?\)/, 'an unmounted repository' ],
	[ '--cluster=other',                      qr/is not initialised/,   'another cluster of the repository' ],
	[ '--key-file=/nonexistent',              qr/nonexistent/,          'a key file that is not there' ],
) {
	my ($option, $pattern, $title) = @$case;
	run_fails([ @archive, $option, "$kept/$name" ], 1, $pattern, "$title: 1, and why");
}
is_deeply([ glob "$empty/*" ], [], 'and nothing was made there');

# --- no room --------------------------------------------------------------------------------------------------------------
{
	my ($stored) = $repo->objects(qr/\Q$name\E$/);
	unlink $repo->path . "/$stored";
	# A limit of the shell stands for a full disk: the write stops half-way.
	run_fails([ 'bash', '-c', 'ulimit -f 4000; exec "$@"', 'bash', "$Pitr::BIN/pitr-archive", $repo->options, "$kept/$name" ], 1,
		qr/could not write .*: File too large/, 'no room for the whole segment: 1, and why');
	ok(!-e $repo->path . "/$stored", '… nothing half lies under its name');
	is_deeply([ $repo->objects(qr/^tmp\//) ], [], '… nor elsewhere');
	run_ok([ @archive, "$kept/$name" ], '… and with room again it is stored');
}

# --- durable before exit 0 ----------------------------------------------------------------------------------------------
{
	my ($stored) = $repo->objects(qr/\Q$name\E$/);
	unlink $repo->path . "/$stored";
	my $trace = "$Pitr::TEST_DIRECTORY/trace";
	run_ok([ 'strace', '-f', '-y', '-o', $trace, '-e', 'trace=write,pwrite64,fsync,fdatasync,link,linkat,rename,renameat,renameat2,exit_group',
		"$Pitr::BIN/pitr-archive", $repo->options, "$kept/$name" ], 'a push under strace');
	my @calls = grep { /objects|exit_group/ } split /\n/, read_file($trace);
	my $place = sub { my ($pattern) = @_; for (0 .. $#calls) { return $_ if $calls[$_] =~ $pattern } return -1 };
	my $publish = $place->(qr/renameat2\(.*\Q$name\E".*RENAME_NOREPLACE\)\s+= 0|linkat?\(.*\Q$name\E".*= 0/);
	@calls[ 0 .. $publish - 1 ] = map { s/fsync\(\d+<[^>]*\/wal\/.*/(the directories above, made durable before)/r } @calls[ 0 .. $publish - 1 ];
	my @order = (
		$place->(qr/\b(?:write|pwrite64)\(\d+<[^>]*objects\/tmp\//),
		$place->(qr/\bfsync\(\d+<[^>]*objects\/tmp\/[^>]*>\)\s+= 0/),
		$publish,
		$place->(qr/\bfsync\(\d+<[^>]*\/wal\/00000001\/[0-9A-F]{8}>\)\s+= 0/),
		$place->(qr/exit_group\(0\)/));
	ok(!grep({ $_ < 0 } @order) && "@order" eq join(' ', sort { $a <=> $b } @order),
		'write, fsync, publish without replacing, fsync of the directory, then exit 0')
	  or diag(join "\n", @calls);
}

# --- killed at every system call -----------------------------------------------------------------------------------------
my $path = $repo->path . "/$object";
my $whole = sub {
	my ($was_killed) = @_;
	return undef unless -e $path;
	my $status = Pitr::_run_quietly({}, "$Pitr::BIN/pitr-fetch", $repo->options, $name, "$Pitr::TEST_DIRECTORY/back");
	return "what lies under the final name is not whole (pitr-fetch: $status)" if $status != 0;
	return read_file("$Pitr::TEST_DIRECTORY/back") eq $content ? undef : 'other content lies under the final name';
};
kill_at_every_syscall('pitr-archive killed at every system call leaves nothing half under a final name',
	command => [ 'pitr-archive', $repo->options, "$kept/$name" ],
	before  => sub { unlink $path },
	after   => sub {
		my $wrong = $whole->(@_);
		return $wrong if defined $wrong;
		return undef if -e $path;
		my $status = Pitr::_run_quietly({}, "$Pitr::BIN/pitr-archive", $repo->options, "$kept/$name");
		return $status == 0 ? $whole->() : "the next push ends with $status";
	},
	every => $ENV{TEST_PITR_SANITIZE} ? 40 : is_full_run() ? 1 : 3);

$node->stop;
done_testing();
