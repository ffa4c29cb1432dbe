# What runs every day without anybody watching: the units for systemd and the lines for cron are valid, do their work with
# a configuration file alone, do not overlap, and a run that fails is known afterwards.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

use Fcntl qw(LOCK_EX);
use JSON ();

my $service = "$FindBin::RealBin/../service";

# The units and the cron file as they are installed, into a directory.
my $units = directory('units');
for my $path (glob "$service/*") {
	my ($name) = $path =~ m{([^/]+?)(?:\.in)?$};
	write_file("$units/$name", read_file($path) =~ s/\@BINDIR\@/$Pitr::BIN/gr);
}

# --- systemd ------------------------------------------------------------------------------------------------------
my ($status, $stdout, $stderr) = run_program([ 'systemd-analyze', '--man=no', 'verify', glob "$units/*.service $units/*.timer" ]);
is("$status $stdout$stderr", '0 ', 'systemd finds nothing to complain about in the units');
my %command;
for my $path (glob "$units/pitr-*.service") {
	my ($name) = $path =~ m{pitr-(\w+)\.service$} or next;
	($command{$name}) = read_file($path) =~ /^ExecStart=(.*)$/m;
	ok(-e "$units/pitr-$name.timer", "there is a timer for pitr-$name");
	like(read_file($path), qr/^Type=oneshot$/m, '… whose runs do not overlap: a oneshot unit is started once at a time');
}
is(join(' ', sort keys %command), 'backup check expire verify', 'backup, check, expire and verify are scheduled');

# --- the commands, with nothing but a configuration file -----------------------------------------------------------
my $repo = repo('main', settings => { 'keep-last' => 2 });
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], conf => "autovacuum = off\n");
$node->archive_all;
my %environment = (PITR_CONFIG => $repo->config, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'postgres');
sub run_unit { my ($name, @more) = @_; return run_program([ split(/ /, $command{$name}), @more ], env => \%environment) }
for my $name (qw(backup backup backup verify expire check)) {
	my ($code, undef, $said) = run_unit($name, $name eq 'backup' ? '--checkpoint=fast' : ());
	is($code, 0, "pitr-$name runs as the unit says") or diag($said);
}
my $list = run_json([ 'pitr-catalog', $repo->options, 'list', '--json' ], 'the catalog is listed');
is(scalar @{ $list->{backups} }, 2, 'retention was applied');

# --- a failed run is known -------------------------------------------------------------------------------------------
$node->query(q{ALTER SYSTEM SET archive_command = 'false'});
$node->query('SELECT pg_reload_conf()');
($status) = run_unit('backup', '--checkpoint=fast', '--wal-timeout=1s');
is($status, 1, 'a backup whose WAL does not arrive fails');
my ($said) = (run_program([ 'pitr-check', $repo->options, '--json' ]))[1];
my @found = grep { $_->{check} eq 'runs' && $_->{status} eq 'WARNING' } @{ JSON::decode_json($said)->{checks} };
is(scalar @found, 1, 'pitr-check knows of it');
like($found[0]{message}, qr/^the last run of pitr-basebackup, .* failed: /, '… and says which program failed');

# --- cron ------------------------------------------------------------------------------------------------------------
my @lines = grep { /^[\d*]/ } split /\n/, read_file("$units/pitr.cron");
is(scalar @lines, 4, 'cron has the same four');
for my $line (@lines) {
	my ($lock, $program) = $line =~ m{postgres\s+flock -n -E 75 (\S+) (?:sh -c '\S+?\$\()?(pitr-\w+)};
	ok(defined $program, 'a line of cron holds a lock while its program runs') or diag($line);
	my $text = $line =~ s/^(?:\S+\s+){6}//r;
	my $own  = "$units/" . ($lock =~ s{.*/}{}r);
	$text =~ s/\Q$lock\E/$own/;
	open my $held, '>', $own or die "could not open \"$own\": $!\n";
	flock $held, LOCK_EX or die "could not lock \"$own\": $!\n";
	($status) = run_program([ 'sh', '-c', $text ]);
	is($status, 75, "… $program does not start a second time meanwhile");
}
done_testing();
