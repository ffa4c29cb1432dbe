# Who writes pitr.catalog and pitr.archive-failure in a data directory, when, and what that never does: delay or fail the
# archiving, stay behind in a restored server, or touch a directory that is not the server's.
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
use Time::HiRes qw(sleep);

my $repo = repo('main', settings => { 'log-level' => 'info' });
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my $data = $node->data_dir;
my $system = $node->query('SELECT system_identifier FROM pg_control_system()');

sub mirror  { return Pitr::Document::read_document(($_[0] // $data) . '/pitr.catalog') }
sub failure { return Pitr::Document::read_document(($_[0] // $data) . '/pitr.archive-failure') }
sub labels  { my ($document) = @_; return join ' ', sort map { $_->{label} } @{ $document->{backups} } }

# The mirror as it is when a segment is archived that is complete from now on: it is refreshed before the server is told.
# Before that nothing waits, so that it is not refreshed for another one.
sub follows {
	my ($prepare) = @_;
	$node->archive_all;
	$prepare->();
	$node->archive_all;
	return mirror();
}
sub age { my ($seconds) = @_; return sub { Pitr::Document::age_mirror($data, $seconds) } }

# So that the next call is not answered by what an earlier one has written down.
sub forget { return unlink glob "$repo->{settings}{spool}/*/*/archived-*" }

# One call by hand, in a directory: (status, what it said).
sub archive_by_hand {
	my ($directory, $path, @options) = @_;
	my ($status, undef, $said) = run_program([ 'pitr-archive', @options, $path ], in => $directory);
	return ($status, $said);
}

# A directory with what makes one a data directory, and one segment that waits.
my $segment = $node->archive_all;
my $content = read_file("$data/pg_wal/$segment");
sub look_alike {
	my ($name, $control) = @_;
	my $directory = directory($name);
	File::Path::make_path("$directory/global", "$directory/pg_wal/archive_status");
	write_file("$directory/PG_VERSION", "15\n");
	File::Copy::copy(($control // $data) . '/global/pg_control', "$directory/global/pg_control") or die;
	write_file("$directory/pg_wal/$segment", $content);
	write_file("$directory/pg_wal/archive_status/$segment.ready", '');
	return $directory;
}

# --- the archiver -----------------------------------------------------------------------------------------------------------

my $first = mirror();
ok($first, 'the archiver makes the mirror') or BAIL_OUT('without it there is nothing to test');
is_deeply([ @$first{qw(cluster system_identifier branch repository)} ], [ 'main', $system, 'main', $repo->path ], '… which says of what');
like($first->{written_by}, qr/^pitr-archive \d/, '… and by whom');
is(sprintf('%04o', (stat "$data/pitr.catalog")[2] & 07777), '0600', '… and is the owner\'s alone');

my $next = follows(sub { });
ok($next->{written_us} == $first->{written_us} || $next->{written_us} - $first->{written_us} >= 60_000_000,
	'it is refreshed once a minute at most');
$next = follows(age(90));
cmp_ok($next->{written_us}, '>', $first->{written_us}, 'when it is older than that, the next segment refreshes it');
ok(follows(sub { unlink "$data/pitr.catalog" or die }), 'when it was removed, too');
my $harm = sub { write_file("$data/pitr.catalog", 'half of it'); utime time - 90, time - 90, "$data/pitr.catalog" };
ok(eval { follows($harm) }, 'and when it is damaged') or diag($@);

# --- base backups -----------------------------------------------------------------------------------------------------------

sub backup {
	my ($title, @options) = @_;
	my ($stdout, $stderr) = run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', '--json', @options ], $title);
	return ($stdout =~ /"label": *"([^"]+)"/ ? $1 : 'none', $stderr);
}
sub label_is { my ($expected, $title) = @_; return is(labels(mirror()), join(' ', sort @$expected), $title) }

my ($one) = backup('a backup whose server says where its data directory is');
label_is([$one], '… is in the mirror at once');
like(mirror()->{written_by}, qr/^pitr-basebackup /, '… which pitr-basebackup has refreshed');

$node->query('CREATE ROLE backup LOGIN REPLICATION');
my ($two, $said) = backup('a backup by a role that is not told', '-U', 'backup');
like($said, qr/shows the backup within a minute of the next WAL segment/, '… says who will refresh it');
label_is([$one], '… and does not');
follows(sub { age(90)->(); $node->query(q{SELECT pg_create_restore_point('a point')}) });
label_is([ $one, $two ], '… but the archiver does');
is_deeply([ map { $_->{name} } @{ mirror()->{restore_points} } ], ['a point'], '… and what else there is now');

my $other = cluster('other', start => 0);
my ($three) = backup('a backup by one who is not told, but knows', '-U', 'backup', "--pgdata=$data");
label_is([ $one, $two, $three ], '… is in the mirror');
(my $four, $said) = backup('a backup with the data directory of another cluster', '-U', 'backup', '--pgdata=' . $other->data_dir);
ok(!-e $other->data_dir . '/pitr.catalog', '… writes nothing there');
like($said, qr/shows the backup within a minute/, '… and says who will');

# --- branches ---------------------------------------------------------------------------------------------------------------

run_ok([ 'pitr-catalog', $repo->options, '-D', $data, 'fork' ], 'pitr-catalog fork');
like(mirror()->{written_by}, qr/^pitr-catalog /, '… refreshes it');
label_is([ $one, $two, $three, $four ], '… with all there is');
Pitr::Document::age_mirror($data, 10);
my $before = mirror()->{written_us};
run_ok([ 'pitr-catalog', $repo->options, '-D', $data, 'adopt' , 'main' ], 'pitr-catalog adopt');
cmp_ok(mirror()->{written_us}, '>', $before, '… does, too');

# --- failures of archiving --------------------------------------------------------------------------------------------------

ok(!failure(), 'nothing has failed so far, and nothing says so');
my $path = $repo->path;
rename $path, "$path.away" or die;
my $log_at = -s $node->logfile;
my $name   = $node->switch_wal;
ok(wait_until(sub { failure() && $node->query('SELECT failed_count FROM pg_stat_archiver') > 0 }), 'without the repository, archiving fails');
my $failed = failure();
my $log    = substr(read_file($node->logfile), $log_at);
is($failed->{file}, $name, 'the failure document says of what');
like($failed->{text}, qr/^could not archive "$name": /, '… and what');
like($log, qr/^pitr-archive: error: \Q$failed->{text}\E$/m, '… in the words that the server\'s log has') or diag($log);
isnt($failed->{hint}, '', '… with a hint');
like($log, qr/^pitr-archive: hint: \Q$failed->{hint}\E$/m, '… the same');
like($failed->{program}, qr/^pitr-archive \d/, '… by which program');
is(sprintf('%04o', (stat "$data/pitr.archive-failure")[2] & 07777), '0600', '… for its owner alone');
my $is_over = sub {
	return $node->query(sprintf 'SELECT coalesce(date_part(\'epoch\', last_archived_time) * 1000000 > %s, false) FROM pg_stat_archiver', failure()->{time_us}) eq 't';
};
ok(!$is_over->(), '… later than anything was archived');
Pitr::Document::age_mirror($data, 900);
rename "$path.away", $path or die;
$node->archive_all;
ok($is_over->(), 'when the repository is back archiving goes on, later than the failure');
is(failure()->{time_us}, $failed->{time_us}, '… which success does not touch');
cmp_ok(mirror()->{written_us}, '>', $failed->{time_us}, '… and the mirror follows');

# What the settings are wrong with is known to the front already.
my $status;
my $wal = "pg_wal/$name";
sub is_noted {
	my ($title, $pattern, @options) = @_;
	unlink "$data/pitr.archive-failure";
	my ($status, $printed) = archive_by_hand($data, $wal, @options);
	my $noted = failure() // { text => '', hint => '', file => '' };
	my $expected = "pitr-archive: error: $noted->{text}\n" . ($noted->{hint} ne '' ? "pitr-archive: hint: $noted->{hint}\n" : '');
	is("$status $noted->{file} $printed", "1 $name $expected", "$title: it says what was printed");
	return like($printed, $pattern, '… once');
}
is_noted('an unknown flag', qr/\A[^\n]*error: unknown flag "--rep"[^\n]*\n[^\n]*hint: [^\n]*\n\z/, '--rep=/x');
write_file("$Pitr::TEST_DIRECTORY/bad.conf", "rep = /x\n");
is_noted('an unknown setting', qr/\A[^\n]*error: [^\n]*bad\.conf[^\n]*\n[^\n]*hint: [^\n]*\n\z/, "--config=$Pitr::TEST_DIRECTORY/bad.conf");
is_noted('no repository', qr/\A[^\n]*error: [^\n]*"\Q$path\/none\E"/, $repo->options, "--repo=$path/none", '--log-level=error');
is_noted('a repository of no kind', qr/neither an absolute directory/, $repo->options, '--repo=relative');

Pitr::Document::write_document("$data/pitr.archive-failure", { new => 1 }, 2);
($status) = archive_by_hand($data, $wal, '--repo=/nonexistent');
is_deeply([ $status, failure() ], [ 1, { new => 1 } ], 'what a newer version wrote stays');
unlink "$data/pitr.archive-failure";
write_file("$data/pitr.archive-failure", 'half of it');
($status) = archive_by_hand($data, $wal, "--repo=/caf\xe9");
is("$status " . failure()->{text}, qq{1 could not archive "$name": the repository directory "/caf?" does not exist (is it mounted?)},
	'what is damaged is replaced, and a message need not be UTF-8');

# --- directories that are none of its business ------------------------------------------------------------------------------

my $elsewhere = directory('elsewhere');
mkdir "$elsewhere/copies" or die;
write_file("$elsewhere/copies/$segment", $content);
($status) = archive_by_hand($elsewhere, "copies/$segment", $repo->options);
is($status, 0, 'a segment that lies elsewhere is archived');
($status) = archive_by_hand($elsewhere, "copies/$segment", '--repo=/nonexistent');
is($status, 1, '… or not');
rename "$elsewhere/copies", "$elsewhere/pg_wal" or die;
($status) = archive_by_hand($elsewhere, "pg_wal/$segment", '--repo=/nonexistent');
is($status, 1, '… also in a directory of that name');
is(join(' ', map { s{.*/}{}r } glob "$elsewhere/* $elsewhere/pg_wal/*"), "pg_wal $segment", '… and nothing is written there');

my $foreign = look_alike('foreign', $other->data_dir);
($status, $said) = archive_by_hand($foreign, "pg_wal/$segment", $repo->options);
is($status, 0, 'in the data directory of another cluster it is archived');
like($said, qr/not refreshed: the mirror of the catalog: .*data directory of another cluster/, '… the mirror is not made');
ok(!-e "$foreign/pitr.catalog", '… at all');

my $unwritable = look_alike('unwritable');
chmod 0500, $unwritable or die;
($status, $said) = archive_by_hand($unwritable, "pg_wal/$segment", $repo->options);
is($status, 0, 'in a directory that cannot be written to it is archived');
like($said, qr/not refreshed: the mirror of the catalog: .*Permission denied/, '… the mirror cannot be written');
forget();
($status, $said) = archive_by_hand($unwritable, "pg_wal/$segment", $repo->options, '--log-level=debug');
unlike($said, qr/by an earlier call/, 'when it is archived again');
unlike($said, qr/not refreshed/, '… which is not tried again at once');
($status, $said) = archive_by_hand($unwritable, "pg_wal/$segment", '--repo=/nonexistent', '--log-level=debug');
is($status, 1, '… and a failure is a failure');
like($said, qr/the failure was not written down: .*Permission denied/, '… whether it can be written down or not');
chmod 0700, $unwritable;

# --- before a backlog -------------------------------------------------------------------------------------------------------

my $backlog = look_alike('backlog');
write_file(sprintf('%s/pg_wal/archive_status/%08X%08X%08X.ready', $backlog, 1, 7, $_), '') for 1 .. 300;
Pitr::Document::write_document("$backlog/pitr.catalog", mirror());
Pitr::Document::age_mirror($backlog, 120);
$before = mirror($backlog)->{written_us};
($status) = archive_by_hand($backlog, "pg_wal/$segment", $repo->options);
is($status, 0, 'while more than a batch waits, it is archived');
is(mirror($backlog)->{written_us}, $before, '… and the mirror has to wait');
Pitr::Document::age_mirror($backlog, 900);
forget();
archive_by_hand($backlog, "pg_wal/$segment", $repo->options);
cmp_ok(mirror($backlog)->{written_us}, '>', $before, '… unless it is old');

# --- restored ---------------------------------------------------------------------------------------------------------------

$node->query('SELECT pg_switch_wal()');
unlink "$data/pitr.archive-failure";
write_file("$data/pitr.archive-failure", read_file("$data/pitr.catalog") =~ s/^pitr-catalog/pitr-archive-failure/r);
write_file("$data/pitr.catalog.tmp", 'half');
my ($five) = backup('a backup of a directory that has both files');
my $held   = labels(mirror());
unlink "$data/pitr.catalog.tmp";
$node->archive_all;
my ($six) = backup('and one more');
my $copy = restore('copy', source => $node, repo => $repo, start => 0, options => [ '--backup', $five ]);
ok(!-e $copy->data_dir . '/pitr.archive-failure', 'what archiving failed of then is not restored');
ok(!-e $copy->data_dir . '/pitr.catalog.tmp', '… nor what was being written');
my $restored = mirror($copy->data_dir);
ok($restored, '… and the restored directory has a mirror');
like($restored->{written_by}, qr/^pitr-restore /, '… of its own');
is(labels($restored), join(' ', sort $one, $two, $three, $four, $five, $six), '… with the backups of now');
my ($branch) = read_file($copy->data_dir . '/pitr.branch') =~ /"(restore-\w+)"/;
is($restored->{branch}, $branch, '… for its own branch');
$copy->begin;
is(mirror($copy->data_dir)->{written_us}, $restored->{written_us}, '… which a started server leaves alone');
$copy->stop;

# --- bounded in time --------------------------------------------------------------------------------------------------------

# A store that says nothing to what only the mirror asks: retry-for alone would wait for an hour.
{
	my $s3 = PitrS3->start(dir => directory('s3'));
	$s3->create_bucket('mirror');
	my $fault = PitrFault->start($s3->http_port);
	local %ENV = (%ENV, $s3->env, PITR_S3_ENDPOINT => $fault->endpoint);
	my $far = repo('far', url => 's3://mirror/x', settings => { 'log-level' => 'info', 'retry-for' => '1h' })->init($node);
	my $hung = look_alike('hung');
	$fault->order({ match => '^GET .*list-type', do => 'hang', times => 0 });
	($status, undef, $said) = run_program([ 'pitr-archive', $far->options, "pg_wal/$segment" ], in => $hung, timeout => 60);
	is($status, 0, 'where the store does not answer what the mirror asks, the segment is archived');
	like($said, qr/not refreshed: the mirror of the catalog: /, '… and the mirror given up');
	$fault->order;
	$fault->stop;
	$s3->stop;
}
done_testing();
