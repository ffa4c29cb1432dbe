# pitr-fetch fetches ahead of the server: what it hands over is what was archived, whatever happens to the process that does
# it or to what it has laid down, and every answer that matters is as without it.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use File::Copy ();
use File::Path ();
use POSIX ();
use Time::HiRes qw(sleep);

# --- the processes --------------------------------------------------------------------------------------------------------

# Those that fetch ahead for a spool below this test's directory, oldest first: the one that waits, then the one that works.
sub prefetchers {
	my ($in) = @_;
	my @all = sort { $a <=> $b } map { s{.*/}{}r } grep {
		(readlink("$_/exe") // '') =~ m{/pitr-prefetch$} && (readlink("$_/cwd") // '') =~ /^\Q$in\E( \(deleted\))?$/
	} glob '/proc/[0-9]*';
	return @all;
}

sub parent_of { my ($pid) = @_; return eval { read_file("/proc/$pid/stat") =~ /^.*\) \S (\d+)/s ? $1 : 0 } // 0 }
sub workers { my %all = map { $_ => 1 } my @all = prefetchers(@_); return grep { $all{ parent_of($_) } } @all }

# One that has just been started is seen when it has become itself.
sub none_began { my ($in, $title) = @_; sleep 0.3; local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(!prefetchers($in), $title) }

sub none_remains {
	my ($in, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { !prefetchers($in) }, 20), $title);
}

# --- a server that asks when it is told to ----------------------------------------------------------------------------------
# A directory with a control file, and a postmaster.pid that names this test: to pitr-fetch a server in recovery.
my ($number, $source, $repo, @names, %content) = (0);
my $spools = directory('spool');

sub asker {
	my (%options) = @_;
	my $data = $options{data} // directory('asker' . ++$number);
	mkdir "$data/$_" for 'global', 'pg_wal';
	File::Copy::copy($source->data_dir . '/global/pg_control', "$data/global/pg_control") or die;
	write_file("$data/recovery.signal", '');
	write_file("$data/postmaster.pid", "$$\n$data\n1\n5432\n/tmp\n\n\nstarting\n") unless $options{stopped};
	return $data;
}

# (status, what came, how: 'ahead', 'whole' or '')
sub ask {
	my ($data, $name, @options) = @_;
	my ($target, $log) = ("$data/pg_wal/RECOVERYXLOG", "$data.log");
	unlink $target;
	my $pid = fork // die;
	if ($pid == 0) {
		open STDERR, '>', $log;
		chdir $data;
		exec "$Pitr::BIN/pitr-fetch", $repo->options, @options, $name, 'pg_wal/RECOVERYXLOG';
	}
	waitpid $pid, 0;
	my ($status, $said) = ($? & 127 ? -($? & 127) : $? >> 8, read_file($log));
	die "$said\n" if $said =~ /Sanitizer|runtime error/;
	return ($status, -e $target ? read_file($target) : undef,
		$said =~ /handed over "$name", fetched ahead/ ? 'ahead' : $said =~ /fetched "$name"/ ? 'whole' : $said);
}

# Asks for them in order; what was wrong, and how each came.
sub ask_all {
	my ($data, $meanwhile, @asked) = @_;
	my (@wrong, %how);
	for my $name (@asked) {
		$meanwhile->($name) if $meanwhile;
		my ($status, $got, $how) = ask($data, $name);
		push @wrong, "$name: status $status, $how" if $status != 0;
		push @wrong, "$name: other content, $how" if $status == 0 && $got ne $content{$name};
		$how{$how}++;
	}
	return (join('; ', @wrong), \%how);
}

# The one that was last asked in.
sub spool_of { my ($asked) = sort { -M $a <=> -M $b } glob "$spools/*/*/asked"; return $asked =~ s{/asked$}{}r }
sub leave { my ($data) = @_; unlink "$data/postmaster.pid"; return none_remains($data, 'no process remains when the server is gone') }
sub is_ready { my ($spool, $name) = @_; return -s "$spool/$name.fetched" }
sub spool_is_empty { return !grep { m{/[0-9A-F]{24}[^/]*$} } glob "$spools/*/*/*" }
sub new_spool { File::Path::remove_tree($spools); mkdir $spools, 0700; return }

# --- what there is to fetch -------------------------------------------------------------------------------------------------
sub write_segments {
	my ($node, $count) = @_;
	return map {
		$node->query("INSERT INTO t SELECT $_, md5(i::text || random()) FROM generate_series(1, 2000) i");
		$node->switch_wal;
	} 1 .. $count;
}

sub prepare {
	my ($version) = @_;
	$repo = repo("main$version", key => 1, settings => { 'retry-for' => '3s', 'log-level' => 'info', spool => $spools, jobs => 3 });
	$source = cluster("source$version", version => $version, repo => $repo, initdb => ['--wal-segsize=1'],
		conf => "wal_keep_size = 1GB\nwal_log_hints = on\nautovacuum = off\n");
	run_ok([ 'pitr-basebackup', $repo->options, $source->connection, '--checkpoint=fast' ], 'a base backup is taken');
	$source->query('CREATE TABLE t (i int, filler text)');
	@names = (write_segments($source, is_full_run() ? 120 : 36), $source->archive_all);
	%content = map { $_ => read_file($source->data_dir . "/pg_wal/$_") } @names;
	return;
}
prepare((pg_versions())[0]);
my $object = sub { my ($name) = @_; return $repo->path . '/' . ($repo->objects(qr{/\Q$name\E$}))[0] };

# --- in order ---------------------------------------------------------------------------------------------------------------
{
	my $data = asker();
	my ($wrong, $how) = ask_all($data, undef, @names);
	is($wrong, '', 'every segment comes in order, with its content');
	ok(($how->{ahead} // 0) >= 0.7 * @names, 'most of them were fetched ahead') or diag(explain($how));
	none_remains($data, 'nothing is fetched ahead any more when everything has been taken, though the server is there');
	ok(spool_is_empty(), '… and nothing of it is left');
	my ($status) = ask($data, my $next = sprintf '%s%08X', substr($names[-1], 0, 16), hex(substr $names[-1], 16) + 9);
	is($status, 1, 'what never was is absent');
	none_began($data, '… and nothing is fetched ahead of that');
	ask($data, $names[0]);
	ok(wait_until(sub { prefetchers($data) }, 10), 'the first again: somebody fetches ahead');
	leave($data);
	ok(spool_is_empty(), '… and has removed what nobody took');
	new_spool();
	ask_all($data, undef, @names[ 0 .. 3 ]);
	ok(!glob("$spools/*"), 'where no server runs, as under pg_rewind or by hand, nothing is fetched ahead');
}

# What is slow to come is waited for, not fetched twice.
{
	my $data = asker();
	my @slow = map {
		my $how = (ask($data, $_, '--limit-rate=256kB', '--jobs=1'))[2];
		wait_until(sub { glob "$spools/*/*/$names[1]" }, 20) if $_ eq $names[0];
		$how;
	} @names[ 0 .. 5 ];
	is("@slow", 'whole ahead ahead ahead ahead ahead', 'a segment that is on its way is waited for') or diag("@slow");
	leave($data);
}

# Who takes them slowly has as many ahead as there are workers, two for each job, and no more.
{
	new_spool();
	my $data = asker();
	for my $name (@names[ 0 .. 4 ]) { ask($data, $name); sleep 0.4 }
	is(scalar(grep { m{/[0-9A-F]{24}$} } glob "$spools/*/*/*"), 6, 'a server that replays slowly has few segments ahead of it');
	leave($data);
}

# A standby at the end of the archive asks again and again.
{
	new_spool();
	my $data = asker();
	my $path = $object->($names[-1]);
	rename $path, "$path.away";
	is((ask($data, $names[-1]))[0], 1, 'the last segment is not there yet') for 1, 2;
	rename "$path.away", $path;
	is((ask($data, $names[-1]))[0], 0, '… and then it is');
	sleep 0.3;
	ok(!glob("$spools/*/*/prefetcher"), 'nobody was started to look behind the one that just arrived');
	leave($data);
}

# --- damage in the spool ------------------------------------------------------------------------------------------------------
sub crc32c {
	my ($text) = @_;
	my $crc = 0xFFFFFFFF;
	for my $byte (unpack 'C*', $text) {
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# As if the file had always been as it is now: only its content can tell.
sub adopt_record {
	my ($spool, $name) = @_;
	my ($device, $inode, $size, $written, $changed) = split ' ', `stat -c '%D %i %s %.9Y %.9Z' '$spool/$name'`;
	my ($line) = read_file("$spool/$name.fetched") =~ /^\S+ (.*)$/m;
	my @words = split / /, $line, 5;
	$words[3] = sprintf '%s:%x:%d:%s:%s', $device, $inode, $size, $written, $changed;
	$line = join ' ', @words;
	write_file("$spool/$name.fetched", sprintf "%08x %s\n", crc32c($line), $line);
	return;
}
my @harms = (
	[ 'a bit flipped',                sub { damage("$_[0]/$_[1]", 'flip') } ],
	[ 'cut short',                    sub { damage("$_[0]/$_[1]", 'truncate') } ],
	[ 'empty',                        sub { damage("$_[0]/$_[1]", 'empty') } ],
	[ 'zeros of the right size',      sub { write_file("$_[0]/$_[1]", "\0" x 1048576) } ],
	[ 'another segment\'s content',   sub { write_file("$_[0]/$_[1]", $content{ $names[0] }) } ],
	[ 'another segment in its place', sub { rename "$_[0]/$_[2]", "$_[0]/$_[1]" } ],
	[ 'its own content once more',    sub { write_file("$_[0]/$_[1].new", $content{ $_[1] }); rename "$_[0]/$_[1].new", "$_[0]/$_[1]" } ],
	[ 'no record',                    sub { unlink "$_[0]/$_[1].fetched" } ],
	[ 'a record that is none',        sub { write_file("$_[0]/$_[1].fetched", "rubbish\n") } ],
	[ 'a record cut short',           sub { damage("$_[0]/$_[1].fetched", 'truncate') } ],
	[ 'another\'s record',            sub { write_file("$_[0]/$_[1].fetched", read_file("$_[0]/$_[2].fetched")) } ],
	[ 'damage that nothing but the content tells', sub { damage("$_[0]/$_[1]", 'flip'); adopt_record(@_) } ],
	[ 'another segment that nothing but the content tells', sub { write_file("$_[0]/$_[1]", $content{ $names[0] }); adopt_record(@_) } ],
);
for my $harm (@harms) {
	my ($title, $do) = @$harm;
	new_spool();
	my $data = asker();
	ask($data, $names[0]);
	my $spool = spool_of();
	wait_until(sub { is_ready($spool, $names[1]) && is_ready($spool, $names[2]) }, 20) or fail('fetched ahead');
	kill 'STOP', workers($data) if $title =~ /no record/;    # alive and silent: nobody is working on it
	sleep 3.2 if $title =~ /no record/;
	$do->($spool, $names[1], $names[2]);
	my ($status, $got, $how) = ask($data, $names[1]);
	ok($status == 0 && $got eq $content{ $names[1] } && $how eq 'whole', "$title: not handed over") or diag("$status, $how");
	kill 'CONT', workers($data);
	my ($wrong) = ask_all($data, undef, @names[ 2 .. 6 ]);
	is($wrong, '', '… and those behind it come as they are');
	leave($data);
}
{
	new_spool();
	my $data = asker();
	ask($data, $names[0]);
	my $spool = spool_of();
	wait_until(sub { is_ready($spool, $names[1]) && is_ready($spool, $names[2]) }, 20);
	adopt_record($spool, $names[1]);
	is((ask($data, $names[1]))[2], 'ahead', 'the test knows how to write a record that is believed');
	chmod 0770, $spool;
	is((ask($data, $names[2]))[2], 'whole', 'nothing is taken from a spool that others may write in');
	leave($data);
	File::Path::remove_tree("$spool.own");
	rename $spool, "$spool.own";
	mkdir "$spool.own", 0700;
	symlink "$spool.own", $spool;
	write_file("$data/postmaster.pid", "$$\n$data\n1\n5432\n/tmp\n\n\nstarting\n");
	is((ask($data, $names[3]))[2] =~ /is not a directory of this user alone|^whole$/ ? 1 : 0, 1, 'a symbolic link is refused');
	none_began($data, '… for a spool');
	leave($data);
}

# --- the process is stopped, killed -----------------------------------------------------------------------------------------
new_spool();
{
	my $data = asker();
	my $seed = $ENV{TEST_PITR_SEED} // time;
	srand $seed;
	note("TEST_PITR_SEED=$seed");
	my @seen;
	my ($wrong) = ask_all($data, sub {
		sleep rand 0.04;
		my @all = prefetchers($data);
		return if !@all || rand() < 0.6;
		kill 'KILL', my $victim = $all[ rand @all ];
		push @seen, $victim;
	}, @names);
	is($wrong, '', 'killed at random moments (' . @seen . ' times) it costs nothing but time');
	ok(@seen > 0, '… it was killed');
	leave($data);
	ok(!grep({ is_ready(spool_of(), $_) } @names[ 0 .. 3 ]), '… and nothing taken is kept');
}
{
	my $data = asker();
	my $stopped;
	my ($wrong, $how) = ask_all($data, sub {
		my ($name) = @_;
		($stopped) = workers($data) if $name eq $names[5];
		kill 'STOP', $stopped if $name eq $names[5] && $stopped;
		kill 'CONT', $stopped if $name eq $names[12] && $stopped;
	}, @names);
	ok($stopped, 'the process that fetches ahead is stopped for a while');
	is($wrong, '', '… the server gets everything');
	leave($data);
}
{
	# Whoever the orphan is given to sees it end with 0, however the one that works ended.
	my $data = asker();
	my $pid = fork // die;
	if ($pid == 0) {
		chdir $data;
		exec $Pitr::BIN =~ s{bin$}{libexec/pitr/pitr-prefetch}r, $repo->options, $names[0], 'pg_wal/RECOVERYXLOG';
	}
	my $worker;
	ok(wait_until(sub { ($worker) = grep { parent_of($_) == $pid } prefetchers($data); $worker }, 20), 'one that is run by hand works in a child');
	kill 'KILL', $worker;
	waitpid $pid, 0;
	is($?, 0, 'the child killed, it ends with 0');
	leave($data);
}

# --- a spool of another time ----------------------------------------------------------------------------------------------------
# Left behind by a process that was killed: the same directory with another branch, the same path with another directory,
# another repository.
{
	my $data = asker();
	my $leave_behind = sub {
		new_spool();
		ask($data, $names[0]);
		my $spool = spool_of();
		wait_until(sub { is_ready($spool, $names[1]) && is_ready($spool, $names[2]) }, 20) or fail('fetched ahead');
		kill 'KILL', prefetchers($data);
		none_remains($data, 'it was killed');
		return $spool;
	};
	my $spool = $leave_behind->();
	is((ask($data, $names[1]))[2], 'ahead', 'what it left is still good');
	write_file("$data/pitr.branch", 'not a mark');
	is((ask($data, $names[2]))[0], 200, '… not when the directory is marked for a branch meanwhile');
	unlink "$data/pitr.branch";
	$leave_behind->();
	is((ask($data, $names[1], '--repo=' . directory('empty')))[0], 200, '… not for another repository');
	is((ask($data, $names[1], '--cluster=other'))[0], 200, '… not for another cluster');
	rename $data, "$data.old";
	File::Path::make_path("$data/global", "$data/pg_wal");
	asker(data => $data);
	is((ask($data, $names[1]))[2], 'whole', '… not for another directory in its place');
	is((ask($data, $names[2]))[0], 0, 'and that one goes on');
	write_file("$spool/$names[20]", $content{ $names[0] });
	leave($data);
	ask($data, $names[0]) if write_file("$data/postmaster.pid", "$$\n$data\n1\n5432\n/tmp\n\n\nstarting\n");
	wait_until(sub { !-e "$spool/$names[20]" }, 10);
	ok(!-e "$spool/$names[20]", 'what is old is removed');
	leave($data);
}

# --- two servers, one spool -----------------------------------------------------------------------------------------------------
{
	new_spool();
	my ($one, $other) = (asker(), asker());
	my ($wrong, %how) = ('');
	for my $name (@names) {
		for my $data ($one, $other) {
			my ($failed, $how) = ask_all($data, undef, $name);
			$wrong .= $failed;
			$how{$data}{$_} += $how->{$_} for keys %$how;
		}
	}
	is($wrong, '', 'two data directories of one cluster share a spool');
	ok(($how{$_}{ahead} // 0) > @names / 2, '… and each has its segments fetched ahead') for $one, $other;
	leave($_) for $one, $other;
}

# --- no spool, no room ------------------------------------------------------------------------------------------------------------
{
	my $data = asker();
	new_spool();
	chmod 0500, $spools;
	my ($wrong, $how) = ask_all($data, undef, @names[ 0 .. 5 ]);
	is($wrong, '', 'without a spool that can be written to everything comes');
	ok(!prefetchers($data) && $how->{whole} == 6, '… when it is asked for');
	chmod 0700, $spools;
	leave($data);
}
SKIP: {
	skip('no file system can be mounted here', 8) if system('unshare -Urm true 2>/dev/null') != 0;
	for my $size (1, 6) {
		my $data = asker();
		my $fetch = "$Pitr::BIN/pitr-fetch " . $repo->options . ' $name pg_wal/RECOVERYXLOG';
		my $script = "mount -t tmpfs -o size=${size}m none $spools || exit 9; cd $data; for name; do $fetch || exit 8; "
		  . 'mv pg_wal/RECOVERYXLOG pg_wal/$name; if [ $name = ' . $names[0] . " ]; then sleep 1; ls $spools/*/*; fi; done; "
		  . 'rm postmaster.pid; sleep 2';
		my ($status, $listed, $said) = run_program([ 'unshare', '-Urm', 'sh', '-c', $script, 'sh', @names[ 0 .. 9 ] ]);
		ok($status == 0 && !grep({ read_file("$data/pg_wal/$_") ne $content{$_} } @names[ 0 .. 9 ]), "a spool of $size MB on a file system of its own");
		my @ahead = $listed =~ /^[0-9A-F]{24}$/mg;
		is(scalar @ahead, int($size / 4), '… is used to a quarter of what is free');
		is($said =~ /handed over/ ? 1 : 0, $size >= 4 ? 1 : 0, '… and across file systems it is handed over too');
		leave($data);
	}
}

# --- the answers that matter are as without it ------------------------------------------------------------------------------------
for my $harm (
	[ 'a gap',                       sub { my $path = $object->($_[0]); rename $path, "$path.away"; sub { rename "$path.away", $path } } ],
	[ 'a damaged object',            sub { my $path = $object->($_[0]); my $kept = read_file($path); damage($path, 'flip'); sub { write_file($path, $kept) } } ],
	[ 'a repository that went away', sub { rename $repo->path, $repo->path . '.away'; sub { rename $repo->path . '.away', $repo->path } } ],
  ) {
	my ($title, $do) = @$harm;
	my $data = asker();
	my $undo = $title =~ /went away/ ? undef : $do->($names[8]);
	is((ask_all($data, undef, @names[ 0 .. 7 ]))[0], '', "$title: up to there everything comes");
	$undo //= $do->();
	my @answers = map { (ask($data, $_, '--retry-for=1s'))[0] } $title =~ /went away/ ? @names[ 8 .. $#names ] : $names[8];
	my ($first) = grep { $answers[$_] != 0 } 0 .. $#answers;
	ok(defined $first && !grep({ $_ != 200 } @answers[ $first .. $#answers ]), '… then 200, and nothing else') or diag("@answers");
	write_file("$data/standby.signal", '');
	is((ask($data, $names[ $title =~ /went away/ ? -1 : 8 ], '--retry-for=1s'))[0], 1, '… 1 on a standby');
	unlink "$data/standby.signal";
	$undo->();
	is((ask_all($data, undef, @names[ 8 .. 12 ]))[0], '', '… and it goes on when that is over');
	leave($data);
}

# --- real servers -------------------------------------------------------------------------------------------------------------------
sub counted {
	my ($node) = @_;
	my $log = read_file($node->logfile);
	my %times;
	$times{$_}++ for $log =~ /pitr-fetch: (?:handed over|fetched) "([0-9A-F]{24})"/g;
	return (scalar(() = $log =~ /handed over "/g), scalar(() = $log =~ /pitr-fetch: fetched "[0-9A-F]{24}"/g), \%times);
}
sub fingerprint { return $_[0]->query(q{SELECT count(*) || md5(string_agg(filler, '' ORDER BY i, filler)) FROM t}) }

sub check_recovery {
	new_spool();
	my $rows = fingerprint($source);
	my $copy = restore('copy' . $source->version, source => $source, repo => $repo) // return;
	is(fingerprint($copy), $rows, 'a server recovers through the spool');
	my ($ahead, $whole) = counted($copy);
	ok($ahead >= 0.6 * @names, "… it was handed $ahead of its segments, and fetched $whole");
	none_remains($copy->data_dir, 'it has opened: nobody fetches ahead for it');
	ok(spool_is_empty(), '… and nothing is left in the spool');
	$copy->stop;
	return;
}

# The archive ends early, by a gap or by damage, or the repository goes away under way: never an early promotion.
sub check_early_end {
	my ($harm) = @_;
	new_spool();
	my $rows = fingerprint($source);
	my $copy = restore("stopped_$harm" . $source->version, source => $source, repo => $repo, start => 0) // return;
	my ($place, $path) = ($repo->path, $object->($names[20]));
	my ($kept, $fetch) = (read_file($path), "$Pitr::BIN/pitr-fetch " . $repo->options);
	my $set = sub { $copy->append_conf('postgresql.auto.conf', "restore_command = '$_[0] %f %p'\n") };
	if ($harm eq 'gap')    { unlink $path }
	if ($harm eq 'damage') { damage($path, 'flip') }
	if ($harm eq 'away') {
		$set->('sh ' . write_file("$Pitr::TEST_DIRECTORY/away.sh",
			"case \$1 in $names[20]) mv $place $place.away ;; esac\nexec $fetch \"\$@\"\n"));
	}
	$copy->start(fail_ok => 1);
	ok(wait_until(sub { $copy->is_gone }, 60), "$harm: the server stops");
	my $log = read_file($copy->logfile);
	ok($log =~ /FATAL: .*could not restore file "[0-9A-F]{24}" from archive/
		  && $log !~ /selected new timeline|ready to accept connections/, '… with a FATAL, and has not opened');
	none_remains($copy->data_dir, '… and no process remains');
	if ($harm eq 'away') { rename "$place.away", $place; $set->($fetch) }
	else                 { unlink $path; write_file($path, $kept) }
	$copy->begin;
	is(fingerprint($copy), $rows, '… and comes through when that is over');
	$copy->stop;
	return;
}

# A standby follows the archive; the primary goes, another standby takes its place, and the first follows it there.
sub check_failover {
	new_spool();
	my ($first, $second) = map { restore($_ . $source->version, source => $source, repo => $repo, options => ['--standby', '--target-timeline=latest'], start => 0) } 'first', 'second';
	$_->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 200ms\nhot_standby = on\n") for $first, $second;
	$first->start;
	my $follow = sub {
		my ($node, $count) = @_;
		return ok(wait_until(sub { (eval { $node->query('SELECT count(*) FROM t') } // '') eq $count }, 60), $node->name . " has $count rows");
	};
	$follow->($first, $source->query('SELECT count(*) FROM t'));
	write_segments($source, 5);
	$source->archive_all;
	$follow->($first, $source->query('SELECT count(*) FROM t'));
	none_remains($first->data_dir, 'at the end of the archive nobody fetches ahead for the standby');
	$source->stop('immediate');
	$follow->($first, my $before = (@names - 1 + 5) * 2000);
	$first->promote;
	$first->query('SELECT 1');
	write_segments($first, 12);
	$first->archive_all;
	$second->start;
	$follow->($second, $before + 12 * 2000);
	my ($ahead, $whole, $times) = counted($second);
	my @behind = grep { /^00000002/ } keys %$times;
	ok(@behind > 5 && $ahead >= 0.6 * ($ahead + $whole), "it follows into the new timeline, with $ahead handed over and $whole fetched");
	$second->stop;
	none_remains($_->data_dir, 'no process remains') for $second, $first;

	# The old primary goes its own way; pg_rewind fetches what it has lost.
	$source->append_conf('postgresql.conf', "archive_command = 'true'\nwal_keep_size = 10MB\nmin_wal_size = 2MB\nmax_wal_size = 2MB\n"
		. "restore_command = '$Pitr::BIN/pitr-fetch @{[ $repo->options ]} %f %p'\n");
	$source->start;
	write_segments($source, 3);
	$source->query('CHECKPOINT') for 1 .. 2;
	$source->stop;
	my ($switch) = read_file($first->data_dir . '/pg_wal/00000002.history') =~ m{^1\t0/([0-9A-F]+)[0-9A-F]{5}\t}m;
	unlink grep { m{/00000001([0-9A-F]{16})$} && hex($1) < hex $switch } glob $source->data_dir . '/pg_wal/*';
	run_ok([ $source->bin . '/pg_rewind', '-c', '--target-pgdata=' . $source->data_dir, '--source-server=' . $first->connstr('postgres') ],
		'pg_rewind fetches WAL by restore_command');
	none_began($source->data_dir, '… and nobody fetches ahead for it');
	$first->stop;
	return;
}

for my $version (is_full_run() ? pg_versions() : (pg_versions())[0]) {
	prepare($version) if $version ne $source->version;
	check_recovery();
	check_early_end($_) for 'gap', 'damage', 'away';
	check_failover();
}
done_testing();
