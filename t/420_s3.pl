# The programs on a real S3 server over TLS: the promises of pitr-archive and pitr-fetch hold there too.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use PitrS3;

my $s3 = PitrS3->start(dir => directory('s3'));
$s3->create_bucket('backups');
my %aws = $s3->env;
my %env = map { $_ => $aws{$_} } grep { /^AWS_/ } keys %aws;
my %settings = ('s3-endpoint' => $s3->endpoint, 's3-ca-file' => $s3->ca_file, 's3-region' => $s3->region,
	's3-addressing' => 'path', 'retry-for' => '2s');
my $repo = repo('main', url => 's3://backups/here', key => 1, settings => \%settings, env => \%env);
my $node = cluster('source', repo => $repo);
my $name = $node->archive_all;
my $next = $node->archive_all;
my $kept = directory('kept');
my $content = read_file($node->data_dir . "/pg_wal/$name");
write_file("$kept/$next", read_file($node->data_dir . "/pg_wal/$next"));
$node->stop;
write_file($node->data_dir . '/recovery.signal', '');
write_file("$kept/$name", $content);
my $other = $content;
substr($other, 9000, 1) ^= "\1";
my $elsewhere = directory('elsewhere');
write_file("$elsewhere/$name", $other);
my @archive = ('pitr-archive', $repo->options);
my $target = $node->data_dir . '/pg_wal/RECOVERYXLOG';
my $fetch = sub { my (@options) = @_; return [ 'pitr-fetch', $repo->options, @options, $name, $target ] };

run_ok([ @archive, "$kept/$name" ], 'the same segment again: 0', env => \%env);
run_fails([ @archive, "$elsewhere/$name" ], 1, qr/with other content, stored by host/, 'other content: 1', env => \%env);
run_ok($fetch->(), 'the segment is fetched', env => \%env);
ok(read_file($target) eq $content, '… and is the one that was stored first');

# --- two at once: every round on a name that is not there yet ----------------------------------------------------------
my $race = repo('race', url => 's3://backups/race', settings => \%settings, env => \%env);
my ($won, $right) = (0, 0);
for my $round (1 .. 6) {
	$race->write_config(cluster => "round$round");
	run_program([ 'pitr-catalog', $race->options, '--pgdata=' . $node->data_dir, 'init' ], env => \%env);
	my @pids = map {
		my $directory = $_;
		my $pid = fork // die;
		if ($pid == 0) {
			%ENV = (%ENV, %env);
			open STDERR, '>', '/dev/null';
			exec "$Pitr::BIN/pitr-archive", $race->options, "$directory/$name" or POSIX::_exit(9);
		}
		$pid;
	} $kept, $elsewhere;
	my @status = map { waitpid $_, 0; $? >> 8 } @pids;
	$won++ if "@status" eq '0 1' || "@status" eq '1 0';
	run_program([ 'pitr-fetch', $race->options, $name, $target ], env => \%env);
	$right++ if read_file($target) eq ($status[0] == 0 ? $content : $other);
}
is($won, 6, 'of two racing pushes with different content exactly one wins, six times of six');
is($right, 6, '… and what is stored is what the winner pushed');

# --- what cannot be found out is never the end of the archive ------------------------------------------------------------
my @cases = (
	# title                         options                                      environment                              sentence
	[ 'wrong secret',               [],                                          { AWS_SECRET_ACCESS_KEY => 'wrong' },     qr/SignatureDoesNotMatch/ ],
	[ 'unknown access key',         [],                                          { AWS_ACCESS_KEY_ID => 'nobody' },        qr/InvalidAccessKeyId/ ],
	[ 'no credentials at all',      [],                                          { map { $_ => undef } grep { /KEY/ } keys %env }, qr/there are no S3 keys/ ],
	[ 'a bucket that is not there', ['--repo=s3://nowhere/here'],                {},                                       qr/nowhere/ ],
	[ 'a wrong prefix',             ['--repo=s3://backups/elsewhere'],           {},                                       qr/is not initialised/ ],
	[ 'nobody listening',           ['--s3-endpoint=https://localhost:9'],       {},                                       qr/localhost:9|connect/i ],
	[ 'a name that does not resolve', ['--s3-endpoint=https://nowhere.invalid'], {},                                       qr/nowhere\.invalid/ ],
	[ 'a certificate of nobody',    ['--s3-ca-file=/etc/ssl/certs/ca-certificates.crt'], {},                               qr/certificate|SSL|TLS|ca-certificates/i ],
	[ 'plain HTTP at a TLS port',   [ '--s3-endpoint=' . ($s3->endpoint =~ s/^https/http/r) ], {},                         qr/error: could not fetch/ ],
);
for my $case (@cases) {
	my ($title, $options, $changes, $pattern) = @$case;
	unlink $target;
	run_fails($fetch->(@$options), 200, $pattern, "$title: 200, and why", env => { %env, AWS_EC2_METADATA_DISABLED => 'true', %$changes });
	ok(!-e $target, '… and nothing is delivered');
	run_fails([ @archive, @$options, "$kept/$next" ], 1, qr/./, '… and pitr-archive: 1', env => { %env, AWS_EC2_METADATA_DISABLED => 'true', %$changes });
}

# --- nothing secret is said ------------------------------------------------------------------------------------------------
my (undef, $stdout, $stderr) = run_program($fetch->('--log-level=debug'), env => \%env);
unlike($stdout . $stderr, qr/\Q$env{AWS_SECRET_ACCESS_KEY}\E/, 'the secret access key is in no message');
done_testing();
