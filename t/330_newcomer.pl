# What a newcomer does wrong first: each ends with the right status, says what is wrong, and what to do about it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $nowhere = "$Pitr::TEST_DIRECTORY/nowhere";
my $back    = "$Pitr::TEST_DIRECTORY/back";
my $first   = '000000010000000000000001';

# One mistake: a title, the command, the exit status, the sentence about what is wrong and that about what to do (both
# whole), and what run_program takes. A pattern stands for itself, a text for just this text.
sub mistake {
	my ($title, $command, $status, $wrong, $todo, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $program = $command->[0];
	($wrong, $todo) = map { ref $_ ? $_ : qr/\Q$_\E/ } $wrong, $todo;
	run_fails($command, $status, qr/^\Q$program\E: error: $wrong\n\Q$program\E: hint: $todo\n\z/m, "$title: $status",
		timeout => 60, %options);
	return;
}

# --- two servers: one archives, the other is nobody's ---------------------------------------------------------------
my $repo     = repo('main', compress => 'none');
my $node     = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my $stranger = cluster('stranger', initdb => ['--wal-segsize=1']);
my $pgdata   = $node->data_dir;
my @main     = ($repo->options);
my $before_all = $node->query('SELECT clock_timestamp()');

# --- nothing is set, or something else than was meant ---------------------------------------------------------------
my $no_repo = 'no repository is set';
my $set_it = 'Set "repo = /var/backups/pitr" (or s3://bucket/prefix) in /etc/pitr/pitr.conf, or use --repo.';
my %no_file = (env => { PITR_CONFIG => write_file("$Pitr::TEST_DIRECTORY/empty.conf", '') });
mistake('no repository is set', ['pitr-catalog'], 2, $no_repo, $set_it, %no_file);
mistake('… for pitr-fetch', [ 'pitr-fetch', $first, $back ], 200,
	qr/could not fetch "$first": $no_repo/, $set_it, %no_file);
mistake('… for pitr-restore', [ 'pitr-restore', '-D', $nowhere ], 2, $no_repo, $set_it, %no_file);
mistake('… for pitr-basebackup', [ 'pitr-basebackup', $node->connection ], 2, $no_repo, $set_it, %no_file);

sub conf { my ($text) = @_; return '--config=' . write_file("$Pitr::TEST_DIRECTORY/wrong.conf", $text) }
mistake('a typo in the file', [ 'pitr-catalog', conf("# ours\nrepo = /x\ncompres = lz4\n") ], 2,
	qr/configuration file ".*wrong\.conf" line 3: unknown setting "compres"/, 'Did you mean "compress"?');
mistake('… for the archiver', [ 'pitr-archive', conf("repo = /x\n\nkeyfile = /k\n"), "pg_wal/$first" ], 1,
	qr/configuration file ".*wrong\.conf" line 3: unknown setting "keyfile"/, 'Did you mean "key-file"?');
mistake('a wrong value in the file', [ 'pitr-catalog', conf("compress = lz5\n") ], 2,
	qr/configuration file ".*wrong\.conf" line 1: invalid value "lz5" for "compress"/,
	'Use "lz4", "zstd" or "none", with a level as "zstd:3".');
mistake('a line that is none', [ 'pitr-catalog', conf("repo /x\n") ], 2,
	qr/configuration file ".*wrong\.conf" line 1: could not understand "repo \/x"/, 'A line looks like: name = value');
mistake('a relative path in the file', [ 'pitr-catalog', conf("repo = backups\n") ], 2,
	qr/configuration file ".*wrong\.conf" line 1: "repo" must be a full path, not "backups"/, 'Begin it with "/".');
run_fails([ 'pitr-catalog', "--config=$nowhere" ], 2, qr/configuration file "\Q$nowhere\E" does not exist$/m,
	'a file that is not there: 2');
mistake('a typo in the environment', ['pitr-catalog'], 2, 'environment variable PITR_REPOS: unknown setting "repos"',
	'Did you mean "repo"?', env => { PITR_REPOS => '/x' });

mistake('an unknown flag', [ 'pitr-restore', @main, '--target-tme=now' ], 2, 'unknown flag "--target-tme"',
	'Did you mean "--target-time"?');
mistake('… for the archiver', [ 'pitr-archive', @main, '--nonsense', "pg_wal/$first" ], 1, 'unknown flag "--nonsense"',
	'Try "pitr-archive --help".');
mistake('… in a restore_command', [ 'pitr-fetch', @main, '--nonsense', $first, $back ], 200, 'unknown flag "--nonsense"',
	'Try "pitr-fetch --help".');
mistake('a flag of another program', [ 'pitr-catalog', @main, '--target-time=now' ], 2,
	'pitr-catalog has no flag "--target-time"', 'It belongs to pitr-restore.');
mistake('a verb that is none', [ 'pitr-catalog', @main, 'create' ], 2, '"create" is not something pitr-catalog can do',
	'It can: list, show LABEL, window, pin LABEL, unpin LABEL, note LABEL TEXT, mirror, rebuild, adopt [BRANCH], fork [BRANCH], '
	  . 'init, keygen FILE, key list, key add FILE, key remove FINGERPRINT.');
mistake('a verb without its argument', [ 'pitr-catalog', @main, 'keygen' ], 2, 'wrong number of arguments for "keygen": 0',
	'Usage: pitr-catalog keygen FILE [--host-key-of=FILE]');

# --- the repository -------------------------------------------------------------------------------------------------
my $empty = directory('empty');
my $wal   = $node->archive_all;
my @push  = ('pitr-archive', "$pgdata/pg_wal/$wal");
my $not_stored = qr/could not archive "$wal": /;
my $mount = 'Mount it; a new repository is made by pitr-catalog init and by nothing else.';
my $check = 'Check repo and cluster (is it mounted? the right bucket?); for a new repository run: pitr-catalog init';
mistake('no repository is set for the archiver', \@push, 1, qr/${not_stored}$no_repo/, $set_it, %no_file);
mistake('no repository directory', [ @push, "--repo=$nowhere" ], 1,
	qr/${not_stored}the repository directory "\Q$nowhere\E" does not exist \(is it mounted\?\)/, $mount);
mistake('an empty repository directory', [ @push, "--repo=$empty" ], 1,
	qr/${not_stored}the repository directory "\Q$empty\E" is empty \(is it mounted\?\)/, $mount);
mistake('not initialised', [ @push, @main, '--cluster=other' ], 1,
	qr/${not_stored}the repository ".*" is not initialised for the cluster "other"/, $check);
mistake('… for a backup', [ 'pitr-basebackup', $node->connection, @main, '--cluster=other' ], 2,
	qr/the repository ".*" is not initialised for the cluster "other"/, $check);
mistake('… for a listing', [ 'pitr-catalog', @main, '--cluster=other' ], 2,
	qr/the repository ".*" is not initialised for the cluster "other"/, $check);
mistake('a relative repository', [ 'pitr-catalog', '--repo=backups' ], 2,
	'the repository "backups" is neither an absolute directory nor an s3:// address',
	'Write it as /var/backups/pitr, file:///var/backups/pitr or s3://bucket/prefix.');

mistake('init without pgdata', [ 'pitr-catalog', "--repo=$empty", 'init' ], 2,
	'the data directory of the server is not known',
	'Set pgdata, in pitr.conf or with --pgdata: the repository is made for the system identifier in its pg_control.');
mistake('init with a wrong pgdata', [ 'pitr-catalog', "--repo=$empty", "--pgdata=$nowhere", 'init' ], 2,
	qr/could not read the system identifier of the server in "\Q$nowhere\E": could not open .*: No such file or directory/,
	'Run it as the user of the server, with pgdata or --pgdata as "SHOW data_directory" says.');
mistake('init twice', [ 'pitr-catalog', @main, "--pgdata=$pgdata", 'init' ], 1,
	qr/could not initialise the repository: the repository ".*" is initialised for the cluster "main" already/,
	'It was left as it is and can be used. A new one needs another repo, or another cluster name.');
my $other_server = qr/the cluster "main" of the repository ".*" has the system identifier \d+, but this server has \d+/;
my $own_name = 'If this server continues that one, after pg_upgrade or initdb, run: pitr-catalog init --new-system. Otherwise '
  . 'another server keeps its backups there: give this one a cluster name of its own, with --cluster and pitr-catalog init.';
mistake('init of a second server under the first\'s name',
	[ 'pitr-catalog', @main, '--pgdata=' . $stranger->data_dir, 'init' ], 2,
	qr/could not initialise the repository: $other_server/, $own_name);
my $foreign_wal = $stranger->switch_wal;
mistake('a second server archives under the first\'s name',
	[ 'pitr-archive', @main, $stranger->data_dir . "/pg_wal/$foreign_wal" ], 1,
	qr/could not archive "$foreign_wal": $other_server/, $own_name);

# --- keys -----------------------------------------------------------------------------------------------------------
my $sealed = repo('sealed', key => 1);
my $key    = $sealed->key;
my $place  = '--repo=' . $sealed->path;
$sealed->init($node);
run_ok([ @push, "$place", "--key-file=$key.host" ], 'with the host key a segment is archived');
sub key_file {
	my ($name, $mode, $content) = @_;
	my $path = write_file("$key-$name", $content // read_file($key));
	chmod $mode, $path;
	return "--key-file=$path";
}
my @fetch = ('pitr-fetch', $place, $wal, $back);
my $not_fetched = qr/could not fetch "$wal": /;
mistake('no key', [ @push, $place ], 1, qr/${not_stored}object ".*": sealed with host key \w+, but no key file is set/,
	'Set "key-file" to the key file of this repository.');
mistake('… when recovering', \@fetch, 200,
	qr/${not_fetched}object ".*": sealed with host key \w+, but no key file is set/,
	'Set "key-file" to the key file of this repository.');
mistake('a key where none belongs', [ @push, @main, "--key-file=$key" ], 1,
	qr/${not_stored}object ".*": not encrypted, although key file ".*" is set/,
	'Either this repository is used without "key-file", or somebody has replaced the object.');
mistake('a key that everybody can read', [ @push, $place, key_file('open', 0644) ], 1,
	qr/${not_stored}key file ".*-open" is accessible by others \(mode 0644\)/, qr/Run "chmod 0600 .*-open"\./);
mistake('… when recovering', [ @fetch, key_file('open', 0644) ], 200,
	qr/${not_fetched}key file ".*-open" is accessible by others \(mode 0644\)/, qr/Run "chmod 0600 .*-open"\./);
mistake('the host key to recover with', [ @fetch, "--key-file=$key.host" ], 200,
	qr/${not_fetched}the key file ".*\.host" is a host key: it cannot read WAL and packs/,
	'Set key-file to the secret key file that "pitr-catalog keygen" wrote, without .host at its end.');
mistake('keygen over a key', [ 'pitr-catalog', 'keygen', $key ], 1, qr/".*key" already exists/,
	qr/.*A key file is never overwritten.*/);
run_ok([ 'pitr-catalog', 'keygen', "$key-wrong" ], 'another key is made');
run_fails([ @push, $place, "--key-file=$key-wrong" ], 1,
	qr/${not_stored}object ".*": sealed with host key \w+, but key file ".*-wrong" holds \w+\n/,
	'a wrong key: 1, and which');
run_fails([ @fetch, "--key-file=$key-wrong" ], 200,
	qr/${not_fetched}object ".*": sealed with host key \w+, but key file ".*-wrong" holds \w+\n/,
	'… 200 when recovering');
run_fails([ @push, $place, "--key-file=$nowhere" ], 1, qr/${not_stored}.*key file "\Q$nowhere\E"/,
	'a key file that is not there: 1');

# --- the server -----------------------------------------------------------------------------------------------------
my @backup = ('pitr-basebackup', '--checkpoint=fast', @main, $node->connection, '-w');
write_file("$pgdata/pg_hba.conf", <<'CONF');
local all         all       trust
local replication refused   reject
local replication secretive scram-sha-256
local replication plain     trust
local replication nobody    trust
local replication postgres  trust
CONF
$node->query($_)
  for 'CREATE ROLE plain LOGIN', 'CREATE ROLE refused LOGIN REPLICATION', 'CREATE ROLE forgotten LOGIN REPLICATION',
  q{CREATE ROLE secretive LOGIN REPLICATION PASSWORD 'x'};
$node->reload;
my $no_way = qr/could not connect to the server: connection to server on socket ".*" failed: /;
mistake('a role without REPLICATION', [ @backup, '-U', 'plain' ], 1,
	qr/${no_way}FATAL:  must be superuser or replication role to start walsender/,
	'A superuser can allow it with "ALTER ROLE plain REPLICATION".');
for my $case ([ 'refused', 'pg_hba.conf rejects' ], [ 'forgotten', 'no pg_hba.conf entry for' ]) {
	my ($role, $why) = @$case;
	mistake("pg_hba.conf: $why", [ @backup, '-U', $role ], 1, qr/${no_way}FATAL:  $why replication connection .*/,
		qr/.*"local replication $role peer".* pg_hba\.conf .*"SELECT pg_reload_conf\(\)".*/);
}
mistake('a role that does not exist', [ @backup, '-U', 'nobody' ], 1, qr/${no_way}FATAL:  role "nobody" does not exist/,
	'Does the role exist (CREATE ROLE nobody LOGIN REPLICATION)? With peer authentication, run this as the operating system\'s user of that name. -U names another role.');
mistake('no password', [ @backup, '-U', 'secretive' ], 1, qr/${no_way}fe_sendauth: no password supplied/,
	'Put the password into ~/.pgpass (mode 0600), or use -W to be asked for it.');
my $does_it_run = 'Check that the server runs, and -h, -p and -d (or PGHOST, PGPORT, PGSERVICE).';
mistake('a server that does not run', [ 'pitr-basebackup', @main, '-h', $nowhere ], 1,
	qr/${no_way}No such file or directory; Is the server running .*/, $does_it_run);
mistake('… at a port', [ 'pitr-basebackup', @main, '-h', '127.0.0.1', '-p', 1 ], 1,
	qr/could not connect to the server: .*, port 1 failed: Connection refused; Is the server running .*/, $does_it_run);

my $others = repo('others')->init($stranger);
my @theirs = ('pitr-basebackup', '--checkpoint=fast', $others->options, $stranger->connection);
my $never  = 'the WAL that the backup needs would never come';
mistake('archive_mode is off', \@theirs, 2, "archive_mode of the server is off: $never",
	'Set archive_mode = on and archive_command = \'pitr-archive %p\' on the server and restart it.');
$stranger->append_conf('postgresql.conf', "archive_mode = on\n");
$stranger->restart;
mistake('archive_command is empty', \@theirs, 2, "archive_command of the server is empty: $never",
	'Set archive_command = \'pitr-archive %p\' on the server and reload it with "SELECT pg_reload_conf()".');
$stranger->append_conf('postgresql.conf', "archive_command = '$Pitr::BIN/pitr-archive --repo=$nowhere %p'\n");
$stranger->reload;
$stranger->switch_wal;
wait_until(sub { $stranger->query('SELECT failed_count FROM pg_stat_archiver') > 0 });
like(read_file($stranger->logfile), qr/^pitr-archive: error: could not archive ".*": .*\npitr-archive: hint: \Q$mount\E$/m,
	'a failing archive_command is in the log of the server, with what to do');
mistake('archive_command fails', [ @theirs, '--wal-timeout=2s' ], 1,
	qr/the WAL file ".*", which the backup needs, did not come into the repository ".*" within 2 s; its archiver .*/,
	'Look at archive_command, at pg_stat_archiver and at the log of the server; the backup must be taken again.');
$stranger->append_conf('postgresql.conf', "archive_mode = off\nwal_level = minimal\nmax_wal_senders = 0\n");
$stranger->restart;
mistake('wal_level is minimal', \@theirs, 2, qr/${no_way}FATAL:  number of requested standby connections exceeds .*/,
	'Set max_wal_senders = 10 and wal_level = replica on the server and restart it; if they are so already, all senders '
	. 'are in use.');
$stranger->stop;
mistake('the server was stopped', \@theirs, 1, qr/${no_way}No such file or directory; Is the server running .*/, $does_it_run);

# --- restoring ------------------------------------------------------------------------------------------------------
my @restore = ('pitr-restore', '--log-level=warning', @main);
my @dry_run = ('pitr-restore', '--dry-run', @main);
mistake('no backup at all', [ @restore, '-D', $nowhere ], 2, qr/there is no base backup in the repository ".*"/,
	'Take one with pitr-basebackup; without it no WAL can be replayed.');
my (undef, $said) = run_ok([ 'pitr-catalog', @main, 'list' ], 'a listing of nothing is no failure');
like($said, qr/there is no base backup in ".*": nothing can be restored; run pitr-basebackup$/m, '… and says what to do');
(undef, $said) = run_ok([ 'pitr-catalog', @main, 'window' ], 'nor is its window');
like($said, qr/nothing can be restored from ".*": there is no base backup with all its WAL; run pitr-basebackup$/m,
	'… and says what to do');

run_ok([ @backup, '-U', 'postgres' ], 'a backup is taken');
my ($reachable, $missing) = map { $node->archive_all } 1 .. 2;
$node->query('CREATE TABLE t (i int)');
my $time = $node->query('SELECT clock_timestamp()');
$node->query('INSERT INTO t VALUES (1)');
$node->archive_all;

mistake('no directory to restore into', \@restore, 2, 'no data directory to restore into is given',
	'Give -D DIR, or set pgdata in the configuration file.');
my $full = directory('full');
write_file("$full/file", '');
mistake('a directory that is not empty', [ @restore, '-D', $full ], 2,
	qr/the directory "\Q$full\E" is not empty/, 'Restore into an empty directory: -D DIR. Nothing was changed.');
mistake('the directory of a running server', [ @restore, '-D', $pgdata ], 2,
	qr/a server is running in "\Q$pgdata\E" \(process \d+\)/,
	'Restore into an empty directory: -D DIR. Or stop the server and restore in its place: --in-place keeps the '
	  . 'directory, renamed; --delta changes it, fetching only what differs. Nothing was changed.');
is(join(' ', glob "$full/*"), "$full/file", 'nothing was changed there');
mistake('an unknown label', [ @dry_run, '--backup=daily' ], 2, 'there is no backup "daily"',
	'Run "pitr-catalog list" to see the labels.');
mistake('… to show', [ 'pitr-catalog', @main, 'show', 'daily' ], 2, 'there is no backup "daily"',
	'Run "pitr-catalog list" to see the labels.');

mistake('a target in the future', [ @dry_run, '--target-time=2099-01-01 00:00' ], 2,
	qr/the target time 2099-01-01 00:00:00\+00 is in the future: it is 2\S+ \S+ now/,
	'Leave --target-time out to restore everything that is in the archive.');
mistake('a target before the first backup', [ @dry_run, "--target-time=$before_all" ], 2,
	qr/the target time .*is before the end of the first backup: the earliest that can be reached on timeline 1 is 2.*/,
	qr/Give --target-time='2\S+ \S+' or later, or --target-immediate for the end of a backup\./);
my $like_this = 'Write it like "2024-01-15 14:30", "2024-01-15 14:30:00+01", "2024-01-15T13:30Z", "yesterday 14:30" or '
  . '"10 minutes ago".';
for my $text ('half past two', '15.01.2024 14:30', '2024-02-30 14:30', '14:30 UTC+') {
	mistake("\"$text\" for a time", [ @dry_run, '--target-time', $text ], 2,
		"--target-time: could not understand the time \"$text\"", $like_this);
}
my %berlin = (env => { TZ => 'Europe/Berlin' });
mistake('a local time that came twice', [ @dry_run, '--target-time=2024-10-27 02:30' ], 2,
	qr/--target-time: the local time "2024-10-27 02:30:00" is ambiguous: .*/,
	'Say which one: "2024-10-27 02:30:00+02" or, later, "2024-10-27 02:30:00+01".', %berlin);
mistake('a local time that never came', [ @dry_run, '--target-time=2024-03-31 02:30' ], 2,
	qr/--target-time: the local time "2024-03-31 02:30:00" does not exist: .*/,
	'Give the offset from UTC as well: "2024-03-31 02:30:00+01" or "2024-03-31 02:30:00+02".', %berlin);
mistake('an LSN behind the archive', [ @dry_run, '--target-lsn=9/0' ], 2,
	qr/the target LSN is behind the archive, which ends at \S+ on timeline 1/,
	qr/Give --target-lsn=\S+, the last record in it, or leave the target out\./);
mistake('an unknown restore point', [ @dry_run, '--target-name=lunch' ], 2,
	'restore point "lunch" is not in the archive behind the end of any backup on timeline 1',
	'There is no restore point at all; pg_create_restore_point() makes one.');
mistake('an unknown transaction', [ @dry_run, '--target-xid=4000000' ], 2,
	'transaction 4000000 is not in the archive behind the end of any backup on timeline 1',
	'Only the number of a top-level transaction that wrote something and has ended can be a target.');
mistake('two targets', [ @dry_run, '--target-immediate', '--target-lsn=0/1' ], 2, 'more than one target is given',
	'Give one of --target-time, --target-lsn, --target-xid, --target-name, --target-immediate, or none for the latest.');

damage($repo->path . "/$_", 'remove') for $repo->objects(qr/\Q$missing\E/);
mistake('a target behind missing WAL', [ @dry_run, "--target-time=$time" ], 2,
	"the target time cannot be reached: the WAL segment \"$missing\" is missing from the archive",
	qr/Before it, --target-lsn=\S+ is the latest.*/);
mistake('… and when recovering', [ 'pitr-fetch', @main, '--retry-for=1s', $missing, $back ], 200,
	qr/could not fetch "$missing": "$missing" is missing from the repository ".*", although "\w+" is there/,
	qr/The archive has a gap\. .* archive it by hand with pitr-archive and start again\./);

# --- by hand --------------------------------------------------------------------------------------------------------
mistake('pitr-archive without a file', [ 'pitr-archive', @main ], 1, 'missing argument: pitr-archive WAL-PATH',
	'Try "pitr-archive --help".');
mistake('pitr-fetch without a destination', [ 'pitr-fetch', @main, $reachable ], 200,
	'missing argument: pitr-fetch WAL-NAME DESTINATION', 'Try "pitr-fetch --help".');
mistake('pitr-fetch of what is no WAL file', [ 'pitr-fetch', @main, 'backup_label', $back ], 200,
	'"backup_label" is not the name of a WAL file', qr/WAL files are named like "000000010000000000000001", .*/);
run_fails([ 'pitr-fetch', @main, $reachable, "$nowhere/file" ], 200,
	qr/could not .*"\Q$nowhere\E.*No such file or directory/,
	'pitr-fetch into a directory that is not there: 200');
ok(!-e $nowhere, 'and nothing was made there');

done_testing();
