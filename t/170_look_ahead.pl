# pitr-archive stores ahead of the server and remembers it: no call is ever answered from memory unless that very file is
# in that very repository, whatever happened in between; and what cannot be remembered is archived as ever.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Document;
use PitrFault;
use PitrS3;
use File::Copy ();
use File::Path ();
use IO::Socket::INET ();
use POSIX ();
use Time::HiRes qw(sleep);

# prctl(PR_SET_CHILD_SUBREAPER): orphans become ours, so that whatever a call leaves behind is seen.
sub adopt_orphans { my ($on) = @_; return (POSIX::uname())[4] eq 'x86_64' && syscall(157, 36, $on, 0, 0, 0) == 0 }

# --- a server that asks when it is told to ----------------------------------------------------------------------------------
my ($repo, $source, @names, %content);
my $number = 0;
my $workers = 6; # two for each of 3 jobs

# A data directory with the control file and as many of the source's segments, all of them waiting.
sub asker {
	my ($count, $from) = @_;
	my $data = directory('asker' . ++$number);
	fill($data, $count, $from // $source);
	return $data;
}

sub fill {
	my ($data, $count, $from) = @_;
	File::Path::make_path("$data/global", "$data/pg_wal/archive_status");
	File::Copy::copy($from->data_dir . '/global/pg_control', "$data/global/pg_control") or die;
	for my $name (@names[ 0 .. $count - 1 ]) {
		write_file("$data/pg_wal/$name", $content{$name});
		write_file("$data/pg_wal/archive_status/$name.ready", '');
	}
	Pitr::Document::write_document("$data/pitr.catalog", {});    # fresh: what a call asks the repository is for segments
	sleep 0.2;    # a file that was written a moment ago is not taken ahead
	return;
}

sub new_repo {
	my (%settings) = @_;
	my $made = repo('r' . ++$number, key => delete $settings{key},
		settings => { jobs => 3, 'log-level' => 'debug', spool => directory("spool$number"), 'retry-for' => '1s', %settings });
	return $made->init($source);
}

sub spool_of { my ($of) = @_; return $of->{settings}{spool} }
sub record_of { my ($of) = @_; my ($file) = glob spool_of($of) . '/*/*/archived-*'; return $file }
sub lines_of { my ($of) = @_; my $file = record_of($of); return defined $file ? split(/^/, read_file($file)) : () }

sub waiting {
	my ($data) = @_;
	return sort map { m{([^/]+)\.ready$} } glob "$data/pg_wal/archive_status/*.ready";
}

# One call, as the archiver makes it: (status, what it said, how: 'front', 'whole').
sub call {
	my ($data, $name, $before, @options) = @_;
	my $log = "$data.log";
	my $pid = fork // die;
	if ($pid == 0) {
		open STDERR, '>', $log;
		chdir $data;
		exec 'sh', '-c', ($before // '') . " '$Pitr::BIN/pitr-archive' '" . $repo->options . "' @options 'pg_wal/$name'";
	}
	waitpid $pid, 0;
	my ($status, $said) = ($? & 127 ? -($? & 127) : $? >> 8, read_file($log));
	die "$said\n" if $said =~ /Sanitizer|runtime error/;
	return ($status, $said, $said =~ /"$name" has been stored by an earlier call/ ? 'front' : 'whole');
}

# Archives what waits, in order, until something fails: how often which program answered, and what was wrong.
sub archive {
	my ($data, $before) = @_;
	my %seen = (front => 0, whole => 0, said => '', failed => '');
	for my $name (waiting($data)) {
		my ($status, $said, $how) = call($data, $name, $before);
		$seen{$how}++;
		$seen{said} .= $said;
		if ($status != 0) {
			@seen{ 'failed', 'status' } = ($name, $status);
			last;
		}
		rename "$data/pg_wal/archive_status/$name.ready", "$data/pg_wal/archive_status/$name.done" or die;
	}
	return \%seen;
}

# The names under which the repository has a segment.
sub stored { my ($of) = @_; return map { m{/([0-9A-F]{24})$} ? $1 : () } ($of // $repo)->objects }

# Exactly these are stored, with their content.
sub is_stored {
	my ($expected, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @wrong = join(' ', sort @$expected) eq join(' ', sort(stored())) ? () : 'other names: ' . join ' ', stored();
	my $back = "$Pitr::TEST_DIRECTORY/back";
	for my $name (@$expected) {
		system("'$Pitr::BIN/pitr-fetch' '" . $repo->options . "' --log-level=error $name '$back' 2>/dev/null") == 0
		  && read_file($back) eq $content{$name}
		  or push @wrong, $name;
	}
	return ok(!@wrong, $title) || diag("wrong: @wrong");
}

sub object { my ($name, $of) = @_; return map { ($of // $repo)->path . "/$_" } ($of // $repo)->objects(qr/$name$/) }

sub other_content { my ($name) = @_; my $other = $content{$name}; substr($other, 500_000, 1) ^= "\1"; return $other }

sub crc32c {
	my ($text) = @_;
	my $crc = 0xFFFFFFFF;
	for my $byte (unpack 'C*', $text) {
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# --- segments of a real server ----------------------------------------------------------------------------------------------
$repo = repo('main', settings => { 'log-level' => 'debug', spool => directory('spool') });
$source = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], start => 0);
$source->append_conf('postgresql.conf', "archive_command = 'false'\nmax_wal_size = 4GB\nwal_keep_size = 2GB\n");
$source->start;
my $fill_wal = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 950000)) FROM generate_series(1, %d)";
$source->query(sprintf $fill_wal, is_full_run() ? 1000 : 200);
{
	my @waiting = $source->waiting_wal;
	my $log_at  = -s $source->logfile;
	$source->append_conf('postgresql.conf', "archive_command = '$Pitr::BIN/pitr-archive " . $repo->options . " %p'\n");
	$source->reload;
	my $last = $source->archive_all;
	my $log  = substr(read_file($source->logfile), $log_at);
	my @front = $log =~ /"([0-9A-F]{24})" has been stored by an earlier call/g;
	my %got   = map { $_ => 1 } stored();
	is_deeply([ grep { !$got{ s/\.ready$//r } } @waiting ], [], scalar(@waiting) . ' waiting segments of a real server are archived');
	cmp_ok(scalar(@front), '>=', @waiting * 0.9, '… nearly all by calls that only had to look');

	opendir my $directory, $source->data_dir . '/pg_wal' or die;
	@names = (sort grep { /^[0-9A-F]{24}$/ && $got{$_} } readdir $directory)[ 1 .. 60 ];
	%content = map { $_ => read_file($source->data_dir . "/pg_wal/$_") } @names;
}

# Stopped amid work it archives all that is complete (failure 16).
sub set_archive_command {
	my ($command) = @_;
	$source->append_conf('postgresql.conf', "archive_command = '$command'\n");
	$source->reload;
	return;
}
{
	set_archive_command('false');
	my $writer = fork // die;
	if ($writer == 0) {
		open STDERR, '>', '/dev/null';
		exec $source->bin . '/psql', '-XAtq', $source->connection, '-d', 'postgres', '-c', sprintf $fill_wal, 1000;
	}
	wait_until(sub { my @waiting = $source->waiting_wal; @waiting > 30 }) or fail('there is load');
	set_archive_command("$Pitr::BIN/pitr-archive " . $repo->options . ' %p');
	$source->stop('fast');
	waitpid $writer, 0;
	is_deeply([ $source->waiting_wal ], [], 'stopped fast under load, the server leaves nothing unarchived');
	like(run_ok([ 'pitr-archive', $repo->options, '--drain', $source->data_dir ], 'drained'), qr/^Stored [01] WAL segments? /, '… but the current segment');
}
my $sees_orphans = adopt_orphans(1);

# --- the plain case ---------------------------------------------------------------------------------------------------------
$repo = new_repo(key => 1);
{
	my $data = asker(40);
	my ($status) = call($data, $names[0]);
	is($status, 0, 'one call');
	is_stored([ @names[ 0 .. 39 ] ], '… stores all that wait');
	my $seen = archive($data);
	is_deeply([ @$seen{qw(front whole failed)} ], [ 40, 0, '' ], '… and the next calls only look, also for the same segment again');
	is_stored([ @names[ 0 .. 39 ] ], '… which changes nothing');
	is((stat record_of($repo))[2] & 07777, 0600, 'the record is nobody else\'s to read');

	$data = asker(5);
	unlink "$data/pg_wal/archive_status/$names[0].ready";
	unlink object($_) for @names[ 0 .. 4 ];
	is((call($data, $names[0]))[0], 0, 'a segment that the server does not wait for');
	is_deeply([ grep { my $name = $_; grep { $_ eq $name } @names[ 0 .. 4 ] } stored() ], [ $names[0] ], '… is archived alone');
	my $elsewhere = directory('elsewhere');
	write_file("$elsewhere/$names[1]", $content{ $names[1] });
	run_ok([ 'pitr-archive', $repo->options, "$elsewhere/$names[1]" ], 'so is one in another directory');
}

# --- what was remembered is not true any more -------------------------------------------------------------------------------
# Each lays hands on a server whose segments 0 to 9 are archived and remembered, and of which 0 has been acknowledged.
sub remembered {
	my (%settings) = @_;
	$repo = new_repo(%settings);
	my $data = asker(10);
	my ($status) = call($data, $names[0]);
	die "not remembered\n" unless $status == 0 && lines_of($repo) == 10 && (call($data, $names[9]))[2] eq 'front';
	rename "$data/pg_wal/archive_status/$names[0].ready", "$data/pg_wal/archive_status/$names[0].done";
	return $data;
}

# Same name, size and times as far as anybody can set them.
sub replace {
	my ($path, $content, $in_place) = @_;
	my @times = (stat $path)[ 8, 9 ];
	unlink $path unless $in_place;
	if ($in_place) { open my $file, '+<:raw', $path or die; print $file $content; close $file }
	else           { write_file($path, $content) }
	utime @times, $path;
	return;
}

for my $case (
	[ 'a segment that was made anew',      sub { replace("$_[0]/pg_wal/$names[3]", other_content($names[3]), 0) } ],
	[ 'a segment that was written to',     sub { replace("$_[0]/pg_wal/$names[3]", other_content($names[3]), 1) } ],
	[ 'a segment that was renamed',        sub { write_file("$_[0]/new", other_content($names[3])); rename "$_[0]/new", "$_[0]/pg_wal/$names[3]" } ],
	[ 'a data directory put in its place', sub {
			rename $_[0], "$_[0].old";
			fill($_[0], 10, $source);
			write_file("$_[0]/pg_wal/$names[3]", other_content($names[3]));
		} ],
	[ 'a data directory emptied and filled', sub {
			File::Path::remove_tree($_[0], { keep_root => 1 });
			fill($_[0], 10, $source);
			write_file("$_[0]/pg_wal/$names[3]", other_content($names[3]));
		} ],
) {
	my ($title, $do) = @$case;
	my $data = remembered();
	$do->($data);
	my ($status, $said) = call($data, $names[3]);
	ok($status == 1 && $said =~ /error: .*with other content/, "$title, of other content: refused, whatever is remembered of its name")
	  or diag("status $status: $said");
}

{
	my $data = remembered();
	write_file("$data/new", $content{ $names[3] });
	rename "$data/new", "$data/pg_wal/$names[3]";
	my ($status, undef, $how) = call($data, $names[3]);
	is("$status $how", '0 whole', 'of the same content: the whole program finds that out');
	is((call($data, $names[4]))[2], 'front', '… and the others are remembered as before');
}

# The repository is another.
for my $case (
	[ 'another setting',      sub { my $other = repo('other' . ++$number, settings => { %{ $repo->{settings} }, repo => directory("other$number") })->init($source);
			$other->{path} = $other->{settings}{repo}; $repo = $other } ],
	[ 'another cluster name', sub { $repo->write_config(cluster => 'second'); $repo->init($source) } ],
	[ 'another directory in its place', sub { rename $repo->path, $repo->path . '.old'; mkdir $repo->path, 0700; $repo->init($source) } ],
	[ 'the directory emptied and used again', sub { File::Path::remove_tree($repo->path, { keep_root => 1 }); $repo->init($source) } ],
) {
	my ($title, $do) = @$case;
	my $data = remembered();
	$do->($data);
	my @before = object($names[3]);
	my ($status, $said) = call($data, $names[3]);
	my @after = object($names[3]);
	is($status, 0, "$title: archived") or diag($said);
	is(@after - @before, 1, '… there') or diag($said);
}
{
	my $data = remembered();
	rename $repo->path, $repo->path . '.away';
	mkdir $repo->path, 0700;
	my ($status, $said) = call($data, $names[3]);
	ok($status == 1 && $said =~ /is it mounted/, 'a repository that is not mounted: nothing is acknowledged') or diag($said);

	$data = remembered();
	write_file("$data/pitr.branch", "{}\n");
	($status, $said, my $how) = call($data, $names[3]);
	ok($status == 1 && $said =~ /error: .*pitr\.branch/, 'a server that has got a branch of its own: what was remembered was about another');
	unlink "$data/pitr.branch";
	is((call($data, $names[3]))[2], 'front', '… and is true again without');

	$data = remembered(key => 1);
	my $key = read_file($repo->key);
	write_file($repo->key, $key);
	is((call($data, $names[3]))[2], 'whole', 'a key file that was written anew may be another');
}

# The record itself.
sub edit_line {
	my ($do) = @_;
	my @lines = lines_of($repo);
	for (@lines) {
		next unless / $names[3] /;
		my ($text) = /^\S+ (.*)\n/;
		$do->($text);
		$_ = sprintf "%08x %s\n", crc32c($text), $text;
	}
	write_file(record_of($repo), join '', @lines);
	return;
}
{
	my $data = remembered();
	edit_line(sub { });
	is((call($data, $names[3]))[2], 'front', 'a line that is written as it was is believed');
	for my $case (
		[ 'one that is too old',          sub { edit_line(sub { $_[0] =~ s/^(\d+)/$1 - 11 * 60 * 1_000_000/e }) } ],
		[ 'one of the future',            sub { edit_line(sub { $_[0] =~ s/^(\d+)/$1 + 600 * 1_000_000/e }) } ],
		[ 'one of another system',        sub { edit_line(sub { $_[0] =~ s/ system=\d+/ system=1234567890123456789/ }) } ],
		[ 'one of another version',       sub { edit_line(sub { $_[0] =~ s/ pitr=\S+/ pitr=9/ }) } ],
		[ 'one with a wrong checksum',    sub { my $all = read_file(record_of($repo)); $all =~ s/^(\S+)( \d+ \S+ $names[3])/00000000$2/m; write_file(record_of($repo), $all) } ],
		[ 'another\'s, given its name',   sub { my $all = read_file(record_of($repo)); $all =~ s/^.* $names[3] .*\n//m; $all =~ s/$names[4]/$names[3]/; write_file(record_of($repo), $all) } ],
		[ 'one that was cut short',       sub { my $all = read_file(record_of($repo)); $all =~ s/^(.* $names[3] .*)\n(?s:.*)/$1/m; write_file(record_of($repo), $all) } ],
		[ 'none, but rubbish',            sub { write_file(record_of($repo), join '', map { chr(($_ * 7919) % 256) } 1 .. 5000) } ],
		[ 'a record that others can write in', sub { chmod 0666, record_of($repo) } ],
		[ 'a record that is a link',      sub { rename record_of($repo), spool_of($repo) . '/kept'; symlink spool_of($repo) . '/kept', $_[0] } ],
	) {
		my ($title, $do) = @$case;
		my $record = record_of($repo);
		my $whole  = read_file($record);
		$do->($record);
		my ($status, undef, $how) = call($data, $names[3]);
		is("$status $how", '0 whole', "$title is not believed");
		unlink $record;
		write_file($record, $whole);
		chmod 0600, $record;
	}
	is((call($data, $names[3]))[2], 'front', '(the record as it was is)');
}

# A file that somebody writes to all the time is archived as it is found, and not remembered.
{
	$repo = new_repo();
	my $data = asker(6);
	my $pid = fork // die;
	if ($pid == 0) {
		$SIG{TERM} = 'DEFAULT';
		utime undef, undef, "$data/pg_wal/$names[3]" while getppid() != 1;
		POSIX::_exit(0);
	}
	sleep 0.1;
	my ($status, $said) = call($data, $names[0]);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	is($status, 0, 'a segment behind it is being written to');
	is_deeply([ grep { / $names[3] / } lines_of($repo) ], [], '… it is not remembered') or diag($said);
	my $seen = archive($data);
	is($seen->{failed}, '', '… and all is archived in the end');
	is_stored([ @names[ 0 .. 5 ] ], '… as it is');
}

# --- one that cannot be stored ----------------------------------------------------------------------------------------------
{
	$repo = new_repo();
	my $data = asker(40);
	my $elsewhere = directory('elsewhere' . ++$number);
	write_file("$elsewhere/$names[8]", other_content($names[8]));
	run_ok([ 'pitr-archive', $repo->options, "$elsewhere/$names[8]" ], 'the archive has another segment of a name');
	my ($status, $said) = call($data, $names[0]);
	is($status, 0, 'what was asked for is archived all the same');
	like($said, qr/did not store "$names[8]" ahead: .*with other content/, '… with a word about the other');
	my @stored = stored();
	cmp_ok(scalar(@stored), '<', 30, '… behind which no new one is begun');
	my $seen = archive($data);
	is_deeply([ @$seen{qw(failed status)} ], [ $names[8], 1 ], 'the calls before it succeed, its own fails');
	cmp_ok($seen->{front}, '>=', 7, '… and those only look');
	unlink object($names[8]);
	is(archive($data)->{failed}, '', 'once it can be stored, the rest follows');
	is_stored([ @names[ 0 .. 39 ] ], '… whole');

	$data = asker(20);
	$repo = new_repo();
	is((call($data, $names[19]))[0], 0, 'one is archived');
	my ($directory) = map { s{/[^/]+$}{}r } object($names[19]);
	chmod 0500, $directory;
	chmod 0500, $repo->path . '/tmp';
	($status, $said) = call($data, $names[0]);
	is($status, 1, 'the repository fails amid the work');
	my @tried = $said =~ /did not store "([^"]+)" ahead/g;
	cmp_ok(scalar(@tried), '<=', $workers, '… and no more is tried than was under way');
	chmod 0700, $directory;
	chmod 0700, $repo->path . '/tmp';
	is(archive($data)->{failed}, '', '… until it is well again');
}

# --- without a spool --------------------------------------------------------------------------------------------------------
my $many = qr/warning: \d+ WAL segments wait, and are archived one at a time: .*\n.*hint: /;
for my $case (
	[ 'a file in its place',   sub { my ($spool) = @_; rmdir $spool; write_file($spool, '') }, $many ],
	[ 'none that can be made', sub { my ($spool) = @_; rmdir $spool; $repo->write_config(spool => "$spool/not/there") }, $many ],
	[ 'one that is read-only', sub { my ($spool) = @_; chmod 0500, $spool }, $many ],
	[ 'one that others write in', sub { my ($spool, $data) = @_; call($data, $names[0]); chmod 0777, glob "$spool/*/*"; unlink record_of($repo) }, $many ],
	[ 'a record that is a directory', sub { my ($spool, $data) = @_; call($data, $names[0]); my $record = record_of($repo); unlink $record; mkdir $record }, qr/warning: / ],
	[ 'one that is full',      sub { my ($spool, $data) = @_; call($data, $names[0]); unlink record_of($repo) }, qr/warning: could not write down .*No space left/, 'full' ],
) {
	my ($title, $do, $pattern, $is_full) = @$case;
	$repo = new_repo();
	my $data = asker(18);
	$do->(spool_of($repo), $data);
	my $before = '';
	if ($is_full) {
		# Only writes to the record fail.
		my $record = (glob spool_of($repo) . '/*/*')[0] . sprintf '/archived-%08x', crc32c($repo->path);
		$before = "ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -P '$record' -e trace=write -e inject=write:error=ENOSPC";
	}
	my $seen = archive($data, $before);
	is_deeply([ @$seen{qw(failed front)} ], [ '', 0 ], "a spool that is none ($title): everything is archived") or diag($seen->{said});
	like($seen->{said}, $pattern, '… with a word about it while many wait');
	is_stored([ @names[ 0 .. 17 ] ], '… whole');
	chmod 0700, spool_of($repo), glob spool_of($repo) . '/*/*';
}

# --- killed -----------------------------------------------------------------------------------------------------------------
{
	$repo = new_repo();
	my $data = asker(5);
	chdir $data;
	kill_at_every_syscall('killed anywhere, nothing is acknowledged that is not stored, and nothing is in the way of the next call',
		command => [ 'pitr-archive', $repo->options, "pg_wal/$names[0]" ],
		before  => sub { unlink map { object($_) } @names[ 0 .. 4 ]; unlink grep { defined } record_of($repo) },
		every   => is_full_run() ? 3 : 29,
		after   => sub {
			my ($was_killed, $point) = @_;
			my %stored = map { $_ => 1 } stored();
			my @lines = lines_of($repo);
			for my $name (@names[ 0 .. 4 ]) {
				return "$name is remembered and not stored" if !$stored{$name} && grep { / $name / } @lines;
			}
			for my $name (@names[ 0, 4, 2 ]) {
				my ($ended, $said) = call($data, $name);
				return "the call for $name ends with $ended: $said" if $ended != 0;
				return "$name is not stored" unless object($name);
			}
			return undef;
		});
	chdir '/';
	archive($data);
	is_stored([ @names[ 0 .. 4 ] ], '… all is whole');
}

# --- callers side by side, few resources ------------------------------------------------------------------------------------
{
	$repo = new_repo();
	my $data = asker(30);
	my @pids;
	for my $at (0, 1, 0) {
		push @pids, fork // die;
		next if $pids[-1];
		open STDERR, '>', '/dev/null';
		chdir $data;
		exec "$Pitr::BIN/pitr-archive", $repo->options, "pg_wal/$names[$at]";
	}
	sleep 0.02;
	kill 'STOP', $pids[2];
	my ($status) = call($data, $names[0]);
	kill 'CONT', $pids[2];
	my @status = ($status, map { waitpid $_, 0; $? } @pids);
	is("@status", '0 0 0 0', 'callers side by side, one of them stopped for a while, are in nobody\'s way');
	is(archive($data)->{failed}, '', '… and all is archived');
	is_stored([ @names[ 0 .. 29 ] ], '… once, and whole');

	for my $case ([ 'ulimit -n 16 &&', '16 open files' ], [ 'ulimit -s 1024 &&', 'a stack of 1 MB' ]) {
		next if $ENV{TEST_PITR_SANITIZE};
		$repo = new_repo(jobs => 8);
		$data = asker(20);
		my $seen = archive($data, $case->[0]);
		is_deeply([ @$seen{qw(failed whole)} ], [ '', 1 ], "$case->[1] are enough") or diag($seen->{said});
		is_stored([ @names[ 0 .. 19 ] ], '… for all');
	}
}

# Two repositories in one archive_command, each with a record of its own.
{
	my $first = new_repo();
	my $second = new_repo(spool => spool_of($first));
	my $data = asker(20);
	my $whole = 0;
	for my $name (@names[ 0 .. 19 ]) {
		for ($first, $second) {
			$repo = $_;
			my ($status, $said, $how) = call($data, $name);
			fail("$name: $said") if $status != 0;
			$whole++ if $how eq 'whole';
		}
		unlink "$data/pg_wal/archive_status/$name.ready";
	}
	is($whole, 2, 'two repositories in one archive_command: one call each does the work');
	for ($first, $second) {
		$repo = $_;
		is_stored([ @names[ 0 .. 19 ] ], '… and all is in both');
	}
}

# --- an outage --------------------------------------------------------------------------------------------------------------
{
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die;
	my $counted  = "$Pitr::TEST_DIRECTORY/connections";
	my $port     = $listener->sockport;
	my $pid      = fork // die;
	if ($pid == 0) {
		$SIG{TERM} = 'DEFAULT';
		open my $file, '>>', $counted;
		while (my $connection = $listener->accept) { syswrite $file, '.'; close $connection }
		POSIX::_exit(0);
	}
	close $listener;
	$repo = repo('outage', url => 's3://bucket/x', settings => { 's3-endpoint' => "http://127.0.0.1:$port", 's3-region' => 'r',
			'retry-for' => '2s', jobs => 8, spool => directory('spool-outage'), 'log-level' => 'debug' });
	local @ENV{ 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY' } = ('a', 'b');
	my $data = asker(3);
	write_file(sprintf("%s/pg_wal/archive_status/%08X%08X%08X.ready", $data, 1, 7, $_), '') for 1 .. 5000;
	my ($status, $said) = call($data, $names[0]);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	is($status, 1, 'no repository, and 5,000 segments wait: the call fails') or diag($said);
	my $connections = -s $counted;
	cmp_ok($connections, '>', 0, '… it has tried');
	cmp_ok($connections, '<', 50, '… the one that was asked for, not each');
}

# --- requests ---------------------------------------------------------------------------------------------------------------
{
	my $s3 = PitrS3->start(dir => directory('s3'));
	$s3->create_bucket('ahead');
	my $fault = PitrFault->start($s3->http_port);
	local %ENV = (%ENV, $s3->env, PITR_S3_ENDPOINT => $fault->endpoint);
	$repo = repo('requests', url => 's3://ahead/x', key => 1, settings => {
			'retry-for' => '2s', jobs => 3, spool => directory('spool-requests'), 'log-level' => 'debug' })->init($source);
	my $data = asker(20);
	$fault->order;
	my $seen = archive($data);
	is_deeply([ @$seen{qw(failed whole)} ], [ '', 1 ], 'on S3: one call stores what waits') or diag($seen->{said});
	my @puts = grep { $_->{head} =~ /^PUT / } $fault->requests;
	my @others = grep { $_->{head} !~ /^PUT / } $fault->requests;
	is(scalar(@puts), 20, '… with one request for each');
	cmp_ok(scalar(@others), '<', 5, '… and the repository is opened once') or diag(map { $_->{head} =~ /^(.*)/; "$1\n" } @others);

	# The server goes away amid the work.
	$data = asker(40);
	unlink "$data/pg_wal/archive_status/$_.ready" for @names[ 0 .. 19 ];
	$fault->order({ match => '^PUT ', do => 'pass', times => 4 }, { match => '.', do => 'close', times => 0 });
	$seen = archive($data);
	my %tried = map { $_->{head} =~ m{^PUT .*/([0-9A-F]{24})} ? ($1 => 1) : () } $fault->requests;
	isnt($seen->{failed}, '', 'a server that goes away amid the work ends it');
	cmp_ok(scalar(keys %tried), '<=', 4 + $workers + 1, '… with what was under way');
	$fault->order;
	is(archive($data)->{failed}, '', '… and when it is back all is archived');
	$fault->stop;
	$s3->stop;
}

# --- what is left -----------------------------------------------------------------------------------------------------------
SKIP: {
	skip 'orphans are not seen here', 1 unless $sees_orphans;
	my @left;
	while ((my $pid = waitpid -1, POSIX::WNOHANG()) != -1) {
		last if $pid == 0 && push @left, 'a running process';
		push @left, $pid;
	}
	is("@left", '', 'no call has left a process behind, running or dead');
	adopt_orphans(0);
}

# --- segments of other sizes ------------------------------------------------------------------------------------------------
for my $size (64, is_full_run() ? 1024 : ()) {
	my $of_size = repo("size$size", settings => { 'log-level' => 'debug', spool => directory("spool-size$size"), memory => '32MB' });
	my $node = cluster("size$size", repo => $of_size, initdb => ["--wal-segsize=$size"], start => 0);
	$node->append_conf('postgresql.conf', "archive_command = 'false'\nmax_wal_size = 8GB\n");
	$node->start;
	$node->switch_wal for 1 .. 4;
	my @waiting = map { s/\.ready$//r } $node->waiting_wal;
	$node->append_conf('postgresql.conf', "archive_command = '$Pitr::BIN/pitr-archive " . $of_size->options . " %p'\n");
	$node->reload;
	my $log_at = -s $node->logfile;
	$node->archive_all;
	my %front = map { $_ => 1 } substr(read_file($node->logfile), $log_at) =~ /"([0-9A-F]{24})" has been stored by an earlier call/g;
	is_deeply([ grep { !$front{$_} } @waiting[ 1 .. 3 ] ], [], "segments of $size MB are stored ahead, with memory for less than one");
	my $back = "$Pitr::TEST_DIRECTORY/back";
	run_ok([ 'pitr-fetch', $of_size->options, $waiting[2], $back ], '… and come back');
	is(-s $back, $size * 1024 * 1024, '… whole');
	$node->stop;
}

# --- the front ----------------------------------------------------------------------------------------------------------------
unless ($ENV{TEST_PITR_SANITIZE}) {
	my @libraries = map { /^\s*(\S+)/ } `ldd '$Pitr::BIN/pitr-archive'`;
	is_deeply([ grep { !/linux-vdso|libc\.so|ld-linux/ } @libraries ], [], 'the program that only looks loads nothing but libc');
}

done_testing();
