# A recovery never ends early in silence. A way of 64 segments over three timelines, at each of them every harm, before the
# plan and after it, and every harm to the histories: the plan or the server says which file it is and stops, is never
# promoted, and goes on to the last row once the harm is mended. A standby keeps running, and what a promotion in the outage
# would lose is said before.
# make check-full takes every position with every kind of harm; otherwise a choice of them (TEST_PITR_SEED) with the first,
# the last, and where timelines change.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Chain;
use Pitr::Pool;
use Pitr::Recovery;
use PitrFault;
use PitrS3;
use Time::HiRes ();

my $seed = $ENV{TEST_PITR_SEED} // 20260115;
note("TEST_PITR_SEED=$seed");
my $is_full = is_full_run() && !$ENV{TEST_PITR_SANITIZE};
my @versions = pg_versions();
my $version = $is_full ? $versions[0] : $versions[ $seed % @versions ];
note("PostgreSQL $version");
my $timeline_last = 3;
my %retry_for = (directory => '1s', s3 => '2s');

my $begun = Time::HiRes::time();
my $repo = repo('main', key => 1, settings => { 'retry-for' => '1s' });
my $node = cluster('source', version => $version, repo => $repo, initdb => ['--wal-segsize=1'], conf => <<'SETTINGS');
wal_keep_size = 1GB
autovacuum = off
full_page_writes = off
SETTINGS
my $chain = Pitr::Chain->make($node, $repo, 64);
my @names = $chain->names;
my $last = $#names;
my @switches = $chain->switches;
cmp_ok(scalar @names, '>=', 64, 'the way has 64 segments, on timelines ' . join ', ', map { hex substr $names[$_], 0, 8 } 0, @switches);
my %key = map { (m{([^/]+)$})[0] => $_ } $repo->objects(qr{/(wal|history)/});
is(scalar(grep { $key{$_} } @names, '00000002.history', '00000003.history'), @names + 2, '… and all of it is in the archive');

# The same segment of the same cluster, sealed with the same key, in another repository.
my $twin = repo('twin', settings => { 'key-file' => $repo->key })->init($node);
for my $name (@names) {
	system("$Pitr::BIN/pitr-archive", $twin->options, $node->data_dir . "/pg_wal/$name") == 0 or die "no twin of $name\n";
}
my $s3 = PitrS3->start(dir => directory('s3'));
$s3->create_bucket('chain');
for my $object ($repo->objects) {
	($s3->request('PUT', "/chain/x/$object", read_file($repo->path . "/$object")))[0] == 200 or die "could not store $object\n";
}
note(sprintf 'prepared in %.1f s', Time::HiRes::time() - $begun);

# --- a place to work in: repositories of its own, and restored directories to copy -----------------------------------------

sub place_make {
	my ($number) = @_;
	my $copy = repo("copy$number", settings => { 'key-file' => $repo->key, 'retry-for' => '1s' });
	system('cp', '-a', $repo->path . '/.', $copy->path) == 0 or die "could not copy the repository\n";
	my $fault = PitrFault->start($s3->http_port);
	my %aws = $s3->env;
	my %env = (AWS_EC2_METADATA_DISABLED => 'true', map { $_ => $aws{$_} } grep { /^AWS_/ } keys %aws);
	my $remote = repo("remote$number", url => 's3://chain/x', env => \%env, settings => { 'key-file' => $repo->key,
		'retry-for' => $retry_for{s3}, 's3-endpoint' => $fault->endpoint, 's3-region' => $s3->region, 's3-addressing' => 'path' });
	my %place = (number => $number, repo => { directory => $copy, s3 => $remote }, fault => $fault, env => \%env,
		socket => PostgreSQL::Test::Utils::tempdir_short());
	for my $storage ('directory', 's3') {
		my %how = (source => $node, repo => $place{repo}{$storage}, start => 0);
		$place{laid}{$storage}    = (restore("laid_$storage$number",    %how) or die)->data_dir;
		$place{standby}{$storage} = (restore("standby_$storage$number", %how, options => ['--standby']) or die)->data_dir;
	}
	$place{standby}{latest} = (restore("standby_latest$number", source => $node, repo => $copy, start => 0,
		options => [ '--standby', '--target-timeline=latest' ]) or die)->data_dir;
	return \%place;
}

# Enough to make plans with the index in it.
sub plan_place_make {
	my ($number) = @_;
	my $copy = repo("indexed$number", settings => { 'key-file' => $repo->key });
	system('cp', '-a', $repo->path . '/.', $copy->path) == 0 or die "could not copy the repository\n";
	return { number => $number, repo => { directory => $copy } };
}

sub object_path { my ($place, $name) = @_; return $place->{repo}{directory}->path . "/$key{$name}" }

# A copy of a restored directory. Without a target nothing but pitr-fetch's exit status keeps the server from opening.
sub recovery_make {
	my ($place, $from, %how) = @_;
	my $data = "$Pitr::TEST_DIRECTORY/recovery$place->{number}";
	File::Path::remove_tree($data);
	system('cp', '-a', '--reflink=auto', $from, $data) == 0 or die "could not copy \"$from\"\n";
	if ($how{bare}) {
		my $conf = read_file("$data/postgresql.auto.conf");
		$conf =~ s/^recovery_target(?!_timeline).*\n//mg;
		write_file("$data/postgresql.auto.conf", $conf);
	}
	return Pitr::Recovery->new(bin => $node->bin, data => $data, env => $place->{env}, timeline => $timeline_last,
		socket => $place->{socket});
}

sub rows_wrong {
	my ($recovery, $expected) = @_;
	my $seen = $recovery->query('SELECT count(*), coalesce(max(number), 0) FROM chain') // 'no answer';
	return if $seen eq "$expected|$expected";
	return "rows and the last of them: $seen, expected $expected\n" . $recovery->log;
}

# --- harms: each is done to a place, and returns how it is undone ------------------------------------------------------------

sub file_harm {
	my ($place, $name, $do) = @_;
	my $path = object_path($place, $name);
	my $kept = read_file($path);
	$do->($path);
	return sub { chmod 0600, $path; write_file($path, $kept) };
}

sub damaged { my ($how, @more) = @_; return sub { my ($place, $name) = @_; file_harm($place, $name, sub { damage($_[0], $how, @more) }) } }

sub replaced {
	my ($other) = @_;
	return sub {
		my ($place, $name, $position) = @_;
		file_harm($place, $name, sub { write_file($_[0], read_file($other->($place, $position))) });
	};
}

sub ordered {
	my (@orders) = @_;
	return sub {
		my ($place, $name, $position) = @_;
		$place->{fault}->order(map { my %order = %$_; $order{match} =~ s/NAME/$name/ if defined $order{match}; \%order } @orders);
		return sub { $place->{fault}->order };
	};
}

sub said { my ($status, $code) = @_; return { do => 'answer', status => $status, body => "<Error><Code>$code</Code></Error>", times => 0 } }

# Changes the server's restore_command.
sub command_change {
	my ($recovery, $change) = @_;
	my $conf = "$recovery->{data}/postgresql.auto.conf";
	my $kept = read_file($conf);
	write_file($conf, $kept =~ s/^(restore_command = ')(.*)(')$/$1 . $change->($2) . $3/mer);
	return sub { write_file($conf, $kept) };
}

sub patient {
	my ($time, $do) = @_;
	return sub {
		my ($place, $name, $position, $recovery) = @_;
		my $undo   = $do->($place, $name, $position, $recovery);
		my $change = command_change($recovery, sub { $_[0] =~ s/--retry-for=\S+/--retry-for=$time/r });
		return sub { $change->(); $undo->() };
	};
}

# The repository goes when the server asks for that segment: what comes before it was there.
sub unmounted {
	my ($remains) = @_;
	return sub {
		my ($place, $name, $position, $recovery) = @_;
		my $objects = $place->{repo}{directory}->path;
		my $leave = $remains ? " && mkdir $objects" : '';
		write_file("$recovery->{data}/goes", '');
		write_file("$recovery->{data}/restore.sh", "if [ \$1 = $name ] && [ -e goes ]; then rm goes; mv $objects $objects.away$leave; fi\n"
			. "shift; exec \"\$@\"\n");
		my $change = command_change($recovery, sub { "sh restore.sh %f $_[0]" });
		return sub {
			$change->();
			unlink "$recovery->{data}/goes";
			return unless -e "$objects.away";
			rmdir $objects;
			rename "$objects.away", $objects or die "could not bring \"$objects\" back: $!\n";
		};
	};
}

sub server_lost {
	my (@orders) = @_;
	return sub {
		my ($place, $name, $position) = @_;
		my @before = $position > 0 ? { match => "^GET .*$names[$position - 1]", do => 'pass' } : ();
		$place->{fault}->order(@before, @orders);
		return sub { $place->{fault}->order };
	};
}

# Ends the program that fetches the segment, once it hangs there.
sub ends_fetch {
	my ($signal) = @_;
	return sub {
		my ($recovery, $name) = @_;
		my $since;
		return sub {
			my $pid = $recovery->fetching($name) or return;
			$since //= Time::HiRes::time();
			kill $signal, $pid if Time::HiRes::time() - $since > 0.15;
			return;
		};
	};
}

my $object = '^GET .*NAME';
my $next_object = sub { my ($place, $position) = @_; object_path($place, $names[ $position < $last ? $position + 1 : 0 ]) };
my $first_object = sub { my ($place, $position) = @_; object_path($place, $names[ $position > 0 ? $position - 1 : $last ]) };
my $twin_object = sub { my ($place, $position) = @_; $twin->path . '/' . ($twin->objects(qr{/$names[$position]$}))[0] };
my $removed = sub { my ($place, $name) = @_; file_harm($place, $name, sub { unlink $_[0] or die }) };
my $hangs = ordered({ match => $object, do => 'hang', times => 0 });
my $could_not = 'could not fetch "NAME": ';

# kind => forms of it: [title, storage, harm, what the server's log says, more]. NAME is the segment's.
my %kinds = (
	missing => [
		[ 'missing', 'directory', $removed, $could_not . '"NAME" is missing from the repository' ],
	],
	damaged => [
		[ 'a bit flipped in a frame',      'directory', damaged('flip'),                 $could_not, in_frames => 1 ],
		[ 'a bit flipped in the header',   'directory', damaged('flip', offset => 60),   $could_not ],
		[ 'a bit flipped in the last tag', 'directory', damaged('flip', offset => -1),   $could_not, in_frames => 1 ],
		[ 'cut in half',                   'directory', damaged('truncate'),             $could_not ],
		[ 'zeros in the middle',           'directory', damaged('zero', size => 64),     $could_not, in_frames => 1 ],
		[ 'empty',                         'directory', damaged('empty'),                $could_not ],
		[ 'one byte too many',             'directory', damaged('extend'),               $could_not, in_frames => 1 ],
	],
	'wrong segment' => [
		[ 'the next segment in its place',     'directory', replaced($next_object),  $could_not . '.*was sealed as' ],
		[ 'the segment before in its place',   'directory', replaced($first_object), $could_not . '.*was sealed as' ],
		[ 'the same of another repository',    'directory', replaced($twin_object),  $could_not . '.*belongs to repository' ],
	],
	refused => [
		[ 'permission denied', 'directory', sub { my ($place, $name) = @_; file_harm($place, $name, sub { chmod 0, $_[0] }) },
			$could_not . '.*Permission denied', is_refused => 1 ],
		[ '403 AccessDenied', 's3', ordered({ %{ said(403, 'AccessDenied') }, match => $object }), $could_not . '.*403 AccessDenied' ],
	],
	unreachable => [
		[ 'the repository is not mounted',       'directory', unmounted(0), $could_not . '.*objects', plan => 0 ],
		[ 'the server closes every connection',  's3', server_lost({ do => 'close', times => 0 }), 'could not fetch "', plan => 0,
			is_server_lost => 1 ],
		[ 'an empty directory where it was',     'directory', unmounted(1), $could_not . '.*is it mounted', plan => 0 ],
		[ 'the server answers 500',              's3', server_lost(said(500, 'InternalError')), 'could not fetch ".*500 InternalError', plan => 0,
			is_server_lost => 1 ],
	],
	slow => [
		[ 'no answer within retry-for',   's3', $hangs, $could_not . '.*no answer', plan => 0 ],
		[ 'an answer after a while',      's3', patient('30s', ordered({ match => $object, do => 'delay', seconds => 1.2 })), '',
			ends => 'open', plan => 0 ],
		[ 'an answer, when asked again',  's3', patient('30s', ordered({ match => $object, do => 'close', times => 2 })), '',
			ends => 'open', plan => 0 ],
	],
	TERM => [
		[ 'pitr-fetch gets SIGTERM waiting for the server', 's3', patient('60s', $hangs), 'startup process .*exit', plan => 0,
			meanwhile => ends_fetch('TERM') ],
		[ 'pitr-fetch gets SIGTERM waiting for the segment', 'directory', patient('60s', $removed), 'startup process .*exit',
			plan => 0, not_last => 1, meanwhile => ends_fetch('TERM') ],
		[ 'pitr-fetch gets SIGKILL', 's3', patient('60s', $hangs), 'could not restore file "NAME".*(signal 9|exit code 137)', plan => 0,
			meanwhile => ends_fetch('KILL') ],
	],
);

# --- harm after the restore was laid down -------------------------------------------------------------------------------------

# The server stops, says why, and has promoted nothing; mended, it gets to the end.
sub stop_wrong {
	my ($recovery, $word, $name, $sentence, $is_other_status) = @_;
	my $log = $recovery->log;
	$sentence =~ s/NAME/$name/g;
	return "it was \"$word\"\n$log" if $word ne 'gone';
	my $opened = $recovery->opened;
	return "$opened\n$log" if defined $opened;
	return "the log does not say: $sentence\n$log" if $log !~ /$sentence/;
	return "the exit status was another\n$log"
	  if !$is_other_status && $log !~ /FATAL:  could not restore file "\S+" from archive: child process exited with exit code 200/;
	return;
}

sub mended_wrong {
	my ($recovery) = @_;
	my $word = $recovery->start->wait;
	return "mended, it was \"$word\"\n" . $recovery->log if $word ne 'open';
	return rows_wrong($recovery, $chain->count);
}

sub harm_check {
	my ($place, $position, $form, $is_bare) = @_;
	my ($title, $storage, $do, $sentence, %more) = @$form;
	my $name = $names[$position];
	my $recovery = recovery_make($place, $place->{laid}{$storage}, bare => $is_bare);
	my $undo = $do->($place, $name, $position, $recovery);
	my $word = eval { $recovery->start->wait($more{meanwhile} ? $more{meanwhile}->($recovery, $name) : undef) };
	my $wrong = $@ ? $@ : ($more{ends} // '') eq 'open' ? ($word eq 'open' ? undef : "it was \"$word\"\n" . $recovery->log)
	  : stop_wrong($recovery, $word, $name, $sentence, $more{meanwhile} || $more{is_absent});
	$undo->();
	$wrong //= ($more{ends} // '') eq 'open' ? rows_wrong($recovery, $chain->count) : mended_wrong($recovery);
	$recovery->stop;
	return $wrong;
}

# --- harm before the plan -------------------------------------------------------------------------------------------------------

sub planned {
	my ($place, @options) = @_;
	my @command = ("$Pitr::BIN/pitr-restore", $place->{repo}{directory}->options, '--dry-run', '-D', "$Pitr::TEST_DIRECTORY/never", @options);
	my ($out, $err) = ('', '');
	IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return ($? >> 8, $out, $err);
}

# Refuses, names the segment. What no plan can see without reading the segments, --verify-wal must see.
sub refused_wrong {
	my ($place, $name, $can_be_unseen, @options) = @_;
	my ($status, $out, $err) = planned($place, @options);
	($status, $out, $err) = planned($place, @options, '--verify-wal') if $status == 0 && $can_be_unseen;
	return "pitr-restore @options: status $status\n$out$err" if $status != 1 && $status != 2 || $err !~ /^pitr-restore: error: .*$name/m;
	return 'something was written' if -e "$Pitr::TEST_DIRECTORY/never";
	return;
}

sub plan_check {
	my ($place, $position, $form, $has_index) = @_;
	my ($title, $storage, $do, $sentence, %more) = @$form;
	my $name = $names[$position];
	my $undo = $do->($place, $name, $position);
	my @wrong;
	# A last segment that is not there is one that was never written: the archive ends before it.
	if ($position == $last && $title eq 'missing') {
		my ($status, $out, $err) = planned($place);
		push @wrong, "the plan for what is there: status $status\n$out$err" if $status != 0 || $out =~ /$name/;
	} else {
		push @wrong, refused_wrong($place, $name, $has_index || $more{in_frames});
	}
	if ($position < $last) {
		my ($lsn) = $chain->record_before($position < 4 ? 4 : $position + 1, 2);
		push @wrong, refused_wrong($place, $name, $has_index || $more{in_frames}, "--target-lsn=$lsn");
	}
	# Whether a file that may not be read is needed cannot be told.
	if ($position > 4 && !$more{is_refused}) {
		my ($lsn) = $chain->record_before($position, 3);
		my ($status, $out, $err) = planned($place, "--target-lsn=$lsn", '--verify-wal');
		push @wrong, "the target before it: status $status\n$out$err" if $status != 0;
	}
	$undo->();
	return @wrong ? join "\n", @wrong : undef;
}

# --- a hole right behind the target ---------------------------------------------------------------------------------------------

sub behind_check {
	my ($place, $position, $distance, $form) = @_;
	my ($title, $storage, $do) = @$form;
	my ($lsn, $rows) = $chain->record_before($position, $distance);
	my $laid = "$Pitr::TEST_DIRECTORY/target$place->{number}";
	File::Path::remove_tree($laid);
	my ($status, $out, $err) = ('', '', '');
	my ($undo, $wrong);
	for my $is_before (0, 1) {    # the plan is made before the harm, or with it
		$undo = $do->($place, $names[$position], $position) if $is_before;
		IPC::Run::run([ "$Pitr::BIN/pitr-restore", $place->{repo}{directory}->options, '-D', $laid, "--target-lsn=$lsn" ], '<', \'',
			'>', \$out, '2>', \$err, IPC::Run::timeout(120));
		$wrong = "pitr-restore: status $?\n$out$err" if $? != 0;
		$undo = $do->($place, $names[$position], $position) if !$is_before;
		if (!defined $wrong) {
			my $recovery = recovery_make($place, $laid);
			my $word = $recovery->start->wait;
			$wrong = $word eq 'paused' ? rows_wrong($recovery, $rows) : "it was \"$word\"\n" . $recovery->log;
			$recovery->stop;
		}
		$undo->();
		File::Path::remove_tree($laid);
		return ($is_before ? 'planned with the harm there: ' : 'planned before the harm: ') . $wrong if defined $wrong;
	}
	return;
}

# --- histories of timelines -----------------------------------------------------------------------------------------------------

my $old_history = sub { my ($place) = @_; object_path($place, '00000002.history') };
my $new_history = sub { my ($place) = @_; object_path($place, '00000003.history') };

# title, storage, harm, what the server says of the newest history
my @history_harms = (
	[ 'missing',                    'directory', $removed, 'recovery target timeline 3 does not exist' ],
	[ 'empty',                      'directory', damaged('empty'), $could_not ],
	[ 'a bit flipped',              'directory', damaged('flip'), $could_not ],
	[ 'the other one in its place', 'directory', sub {
		my ($place, $name, @more) = @_;
		replaced($name eq '00000003.history' ? $old_history : $new_history)->($place, $name, @more);
	}, $could_not ],
	[ 'refused',                    's3', ordered({ %{ said(403, 'AccessDenied') }, match => $object }), $could_not . '.*403', plan => 0 ],
	[ 'failing once',               's3', patient('30s', ordered({ match => $object, do => 'close' })), '', plan => 0 ],
);

# The newest history is the way: without it there is none. That of the timeline before is not needed for it, and may only
# be refused or make no difference. Never is it another way.
sub history_check {
	my ($place, $name, $form, $is_bare) = @_;
	my ($title, $storage, $do, $sentence) = @$form;
	my $recovery = recovery_make($place, $place->{laid}{$storage}, bare => $is_bare);
	my $undo = $do->($place, $name, 0, $recovery);
	my $word = $recovery->start->wait;
	my $may_open = $sentence eq '' || $name eq '00000002.history';
	my $wrong = $word eq 'open' && $may_open ? rows_wrong($recovery, $chain->count)
	  : $title eq 'failing once' ? "it was \"$word\"\n" . $recovery->log
	  : stop_wrong($recovery, $word, $name, $sentence, $title eq 'missing');
	$recovery->stop;
	$undo->();
	$wrong //= mended_wrong($recovery) if $word ne 'open';
	$recovery->stop;
	return $wrong;
}

sub history_plan_check {
	my ($place, $name, $form) = @_;
	my $undo = $form->[2]->($place, $name, 0);
	my @wrong;
	for my $options ([], [ '--target-lsn=' . ($chain->record_before($last, 3))[0] ], ['--target-timeline=3']) {
		my ($status, $out, $err) = planned($place, @$options);
		my $is_right = $status == 0 ? $name eq '00000002.history' && $out =~ /$names[ @$options && $options->[0] =~ m{lsn} ? $last - 1 : $last ]/
		  : $err =~ /^pitr-restore: error: .*|^pitr-restore: hint: .*/m && $err =~ /$name/;
		push @wrong, "pitr-restore @$options: status $status\n$out$err" if !$is_right;
	}
	$undo->();
	return @wrong ? join "\n", @wrong : undef;
}

# At the end of its way the server looks for a timeline that nobody has: it must not take one without knowing.
sub end_check {
	my ($place, $form, $is_bare) = @_;
	my ($title, $do, $sentence, %more) = @$form;
	my $recovery = recovery_make($place, $place->{laid}{s3}, bare => $is_bare);
	my $name = '00000004.history';
	my $undo = $do->($place, $name, $last, $recovery);
	my $word = $recovery->start->wait($more{meanwhile} ? $more{meanwhile}->($recovery, $name) : undef);
	my $wrong = stop_wrong($recovery, $word, $name, $sentence, $more{meanwhile});
	$undo->();
	$wrong //= mended_wrong($recovery);
	$recovery->stop;
	return $wrong;
}

my @end_harms = (
	[ '403 AccessDenied', ordered({ %{ said(403, 'AccessDenied') }, match => $object }), $could_not . '.*403' ],
	[ '500',              ordered({ %{ said(500, 'InternalError') }, match => $object }), $could_not . '.*500' ],
	[ 'no answer',        $hangs, $could_not . '.*no answer' ],
	[ 'SIGTERM',          patient('60s', $hangs), 'startup process .*exit', meanwhile => ends_fetch('TERM') ],
);

# Having removed its signal files the server asks once more for the history of its way. Stopped there, it would next be
# started without recovery, on the first timeline.
sub farewell_check {
	my ($place, $form, $is_bare) = @_;
	my ($title, @orders) = @$form;
	my $recovery = recovery_make($place, $place->{laid}{s3}, bare => $is_bare);
	$place->{fault}->order({ match => "^GET .*$names[$last]", do => 'pass' }, map { { match => '00000003.history', times => 0, %$_ } } @orders);
	my $word = $recovery->start->wait;
	my $wrong = $word eq 'open' ? rows_wrong($recovery, $chain->count) : "it was \"$word\"\n" . $recovery->log;
	$place->{fault}->order;
	$recovery->stop;
	if (defined $wrong) {
		$word = $recovery->start->wait;
		$wrong .= "\nstarted again, it was \"$word\" with " . ($recovery->query('SELECT count(*) FROM chain') // 'no') . " rows";
		$recovery->stop;
	}
	return $wrong;
}

my @farewell_harms = ([ '500', said(500, 'InternalError') ], [ '403', said(403, 'AccessDenied') ], [ 'no answer', { do => 'hang' } ]);

# --- a standby ------------------------------------------------------------------------------------------------------------------

# It waits, answers, and says again and again what it waits for.
sub standby_stands {
	my ($recovery, $rows, $sentence) = @_;
	my $word = $recovery->wait(sub {
		my $log = $recovery->log;
		my $times = () = $log =~ /$sentence/g;
		my $seen = $times >= 3 ? $recovery->query('SELECT count(*) FROM chain') // '' : '';
		return unless grep { $_ eq $seen } @$rows;
		@$rows = $seen;
		return 'stands';
	});
	return "the standby was \"$word\", looking for @$rows rows and: $sentence\n" . $recovery->log if $word ne 'stands';
	Time::HiRes::sleep(0.3);
	return 'the standby is not in recovery' if ($recovery->query('SELECT pg_is_in_recovery()') // '') ne 't';
	return rows_wrong($recovery, $rows->[0]);
}

sub promotion_checked {
	my ($place, $storage, $recovery) = @_;
	my ($out, $err) = ('', '');
	local %ENV = (%ENV, %{ $place->{env} });
	IPC::Run::run([ "$Pitr::BIN/pitr-check", $place->{repo}{$storage}->options, '--before-promote', '--json', '-h', $recovery->{socket}, '-p', 5432,
		'-d', 'dbname=postgres' ], '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return ($? >> 8, $out, eval { JSON::PP::decode_json($out) } // { checks => [] });
}

# Promoted with rows missing: they are those that pitr-check had said.
sub loss_wrong {
	my ($recovery, $rows, $said) = @_;
	$recovery->query('SELECT pg_promote()');
	my $word = $recovery->wait;
	return "promoted, it was \"$word\"\n" . $recovery->log if $word ne 'open';
	my $wrong = rows_wrong($recovery, $rows);
	return $wrong if defined $wrong;
	my ($loss) = grep { exists $_->{replayed_lsn} } @{ $said->{checks} };
	return unless $loss;    # it said that it cannot tell, or that the archive is broken there
	my ($from, $to) = map { Pitr::Chain::lsn_number($_) } @$loss{ 'replayed_lsn', 'archive_lsn' };
	my $count = grep { $_ >= $from && $_ < $to } $chain->rows;
	my $before = grep { $_ < $from } $chain->rows;
	return "it said that it has $before and would lose $count, but has $rows" if $before != $rows;
	return;
}

sub standby_check {
	my ($place, $position, $form, $is_promoted) = @_;
	my ($title, $storage, $do, $sentence, %more) = @$form;
	my $name = $more{history} // $names[$position];
	# A server that reads ahead asks again for the segment before, and has replayed all of it only once it gets it.
	my @rows = map { $chain->rows_before($_) } $position, $more{is_server_lost} ? $position - 1 : ();
	my $recovery = recovery_make($place, $place->{standby}{ $more{history} ? 'latest' : $storage });
	my $undo = $do->($place, $name, $position, $recovery);
	$recovery->start;
	my $wrong = standby_stands($recovery, \@rows, $sentence =~ s/NAME/$name/gr);
	my ($status, $out, $said) = promotion_checked($place, $storage, $recovery);
	my $names_it = ($more{plan} // 1) ? qr/$name/ : qr/$name|cannot tell whether .* replayed to LSN/;
	$wrong //= "pitr-check: status $status\n$out" if $status != 2 || $out !~ $names_it;
	$wrong //= loss_wrong($recovery, $rows[0], $said) if $is_promoted;
	$undo->();
	if (!$is_promoted) {
		my $seen;
		wait_until(sub { $seen = $recovery->query('SELECT count(*) FROM chain') // ''; $seen eq $chain->count || $recovery->is_gone }, 90);
		$wrong //= "mended, the standby has $seen rows\n" . $recovery->log if $seen ne $chain->count;
		($status, $out) = promotion_checked($place, $storage, $recovery);
		$wrong //= "mended, pitr-check: status $status\n$out" if $status != 0;
	}
	$recovery->stop;
	return $wrong;
}

# --- what is done where -----------------------------------------------------------------------------------------------------------

sub form_of { my ($kind, $number) = @_; my @forms = @{ $kinds{$kind} }; return $forms[ $number % @forms ] }

my @checks;
sub check_add { my ($title, $do) = @_; push @checks, [ $title, $do ]; return }

sub harm_add {
	my ($position, $kind, $number) = @_;
	my $form = form_of($kind, $number);
	my %more = @$form[ 4 .. $#$form ];
	$form = $kinds{$kind}[0] if $more{not_last} && $position == $last;
	my $is_last_missing = $position == $last && $kind eq 'missing';
	my $is_bare = !$is_last_missing && ($position + $number) % 2;
	# Proved absent, and only the target tells that something is missing.
	$form = [ @$form[ 0 .. 2 ], 'recovery ended before configured recovery target was reached', is_absent => 1 ] if $is_last_missing;
	check_add("$position ($names[$position]), $kind: $form->[0]" . ($is_bare ? ', without a target' : ''),
		sub { harm_check($_[0], $position, $form, $is_bare) });
	return;
}

srand $seed;    # not before: servers of tests that run beside this one would choose the same ports
my @special = (0, 1, map({ ($_ - 1, $_) } @switches), $last);
my @kinds = sort keys %kinds;
if ($is_full) {
	for my $position (0 .. $last) { harm_add($position, $kinds[$_], $position + $_ + $seed) for 0 .. $#kinds }
} else {
	my $number = $seed;
	harm_add($_, $kinds[ $number % @kinds ], $number++) for @special, map { int rand @names } 1 .. 7;
	harm_add($switches[ $seed % 2 ] - 1, 'missing', $seed % 2 + $switches[ $seed % 2 ]);
}
for my $position ($is_full ? 0 .. $last : (@special, int rand @names)) {
	for my $kind ($is_full ? @kinds : @kinds[ map { ($position + $_) % @kinds } 0 .. 1 ]) {
		my @forms = grep { my %more = @$_[ 4 .. $#$_ ]; $_->[1] eq 'directory' && ($more{plan} // 1) } @{ $kinds{$kind} };
		@forms = $forms[ rand @forms ] if @forms && !$is_full;
		for my $form (@forms) {
			check_add("$position ($names[$position]), before the plan: $form->[0]", sub { plan_check($_[0], $position, $form, 0) });
		}
	}
}
for my $position ($is_full ? 4 .. $last : ($switches[ $seed % 2 ], 4 + int rand($last - 4))) {
	my $distance = (1, 3, 20)[ ($position + $seed) % 3 ];
	my $form = $position % 2 ? $kinds{missing}[0] : $kinds{damaged}[ $position % 7 ];
	check_add("$distance records before $position ($names[$position]), $form->[0]: the target is reached",
		sub { behind_check($_[0], $position, $distance, $form) });
}
for my $name ('00000002.history', '00000003.history') {
	for my $form (@history_harms) {
		my %more = @$form[ 4 .. $#$form ];
		my $number = @checks;
		next if !$is_full && rand() < ($name =~ /2/ ? 0.8 : 0.5);
		check_add("$name, $form->[0]", sub { history_check($_[0], $name, $form, $number % 2) });
		check_add("$name, before the plan: $form->[0]", sub { history_plan_check($_[0], $name, $form) }) if $more{plan} // 1;
	}
}
for my $form ($is_full ? @end_harms : $end_harms[ $seed % @end_harms ]) {
	check_add("the next timeline is looked for, $form->[0]" . ($_ ? ', without a target' : ''), sub { end_check($_[0], $form, $_) })
	  for $is_full ? (0, 1) : $seed % 2;
}
for my $form ($is_full ? @farewell_harms : $farewell_harms[ $seed % @farewell_harms ]) {
	check_add("the history of the way is looked for at its end, $form->[0]", sub { farewell_check($_[0], $form, $seed % 2) });
}
my @standby_forms = grep { my %more = @$_[ 4 .. $#$_ ]; !$more{meanwhile} && ($more{ends} // '') ne 'open' } map { @{ $kinds{$_} } } @kinds;
for my $number ($is_full ? 0 .. 2 * $#standby_forms + 1 : map { 7 * $seed + $_ } 0, 1) {
	my $form = $standby_forms[ $number % @standby_forms ];
	my $position = 2 + int rand($last - 2);
	check_add("standby at $position ($names[$position]), $form->[0]" . ($number % 2 ? ', promoted' : ''),
		sub { standby_check($_[0], $position, $form, $number % 2) });
}
for my $form (grep { $_->[0] =~ /missing|flipped/ } @history_harms) {
	my $sentence = $form->[0] eq 'missing' ? '.' : $form->[3];
	check_add("standby without 00000003.history: $form->[0]",
		sub { standby_check($_[0], $switches[1], [ @$form[ 0 .. 2 ], $sentence, history => '00000003.history' ], 0) });
}
if (my $only = $ENV{TEST_PITR_ONLY}) { @checks = grep { $_->[0] =~ /$only/ } @checks }
$begun = Time::HiRes::time();
Pitr::Pool::run(processes => $ENV{TEST_PITR_PROCESSES} // 2, place => \&place_make, checks => \@checks);
note(sprintf '%d checks in %.1f s', scalar @checks, Time::HiRes::time() - $begun);

# What an index says of a segment is not read from it: --verify-wal is what reads.
if (!$ENV{TEST_PITR_ONLY}) {
	run_ok([ 'pitr-catalog', $repo->options, 'rebuild' ], 'an index is made');
	my @indexed;
	for my $position ($is_full ? 0 .. $last : @special) {
		for my $form (map { @{ $kinds{$_} } } 'missing', 'damaged', 'wrong segment') {
			next if !$is_full && rand() < 0.8;
			push @indexed, [ "$position ($names[$position]), before the plan, with an index: $form->[0]",
				sub { plan_check($_[0], $position, $form, 1) } ];
		}
	}
	Pitr::Pool::run(processes => $ENV{TEST_PITR_PROCESSES} // 2, place => \&plan_place_make, checks => \@indexed);
}
done_testing();
