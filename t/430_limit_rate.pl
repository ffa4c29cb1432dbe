# limit-rate: where it may be set, and that it breaks nothing: no transfer fails for having been made to wait. How well the
# rate is kept is measured by bench/limit_rate.sh and reckoned in t/unit/storage_rate.c; no time is asserted here.
use strict;
use warnings;
use File::Basename qw(dirname);
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use PitrS3;

my $repo = repo('main', compress => 'none', settings => { 'limit-rate' => '40MB' });
my $node = cluster('source', repo => $repo);

# --- where it is set ---------------------------------------------------------------------------------------------------
sub limit {
	my ($program, $environment, @options) = @_;
	my (undef, undef, $stderr) = run_program([ @$program, $repo->options, '--log-level=debug', @options ], env => $environment);
	return $stderr =~ /at most (\d+) bytes a second to and from "/ ? $1 / 1024 / 1024 : 'none';
}

my @list = ('pitr-catalog', 'list');
is(limit(\@list, {}), 40, 'the file sets it');
is(limit(\@list, { PITR_LIMIT_RATE => '50MB' }), 50, 'the environment comes before the file');
is(limit(\@list, { PITR_LIMIT_RATE => '50MB' }, '--limit-rate=60MB'), 60, 'the flag comes before both');
is(limit([ 'pitr-fetch', '00000009.history', directory('fetched') . '/x' ], {}, '--limit-rate=1MB'), 1, 'pitr-fetch takes it');
is(limit(['pitr-check'], {}, '--limit-rate=1MB'), 1, 'pitr-check takes it');
$repo->write_config('limit-rate' => undef);
is(limit(\@list, {}), 'none', 'unset there is no limit');

for my $value ('', '0', '100kB', '-1', 'fast', '1.5', '200GB', '10 %') {
	run_fails([ @list, $repo->options, "--limit-rate=$value" ], 2, qr/error: .*limit-rate/, "--limit-rate=\"$value\" is refused");
}
run_fails([ @list, $repo->options ], 2, qr/error: .*PITR_LIMIT_RATE/, '… and in the environment', env => { PITR_LIMIT_RATE => '0' });

# --- everything arrives whole ------------------------------------------------------------------------------------------
$repo->write_config('limit-rate' => '48MB');
$node->query('CREATE TABLE noise AS SELECT g, repeat(md5(random()::text), 8) AS text FROM generate_series(1, 60000) g');
my $name = $node->archive_all;
my $content = read_file($node->data_dir . "/pg_wal/$name");
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', '--jobs=4' ], 'a backup is taken');
run_ok([ 'pitr-fetch', $repo->options, $name, directory('fetched') . '/segment' ], 'a segment is fetched');
ok(read_file(directory('fetched') . '/segment') eq $content, '… whole');
my $digest = $node->safe_psql('postgres', 'SELECT md5(string_agg(text, $$-$$ ORDER BY g)) FROM noise');
my $copy = restore('copy', source => $node, repo => $repo, options => ['--jobs=4']);
is($copy->safe_psql('postgres', 'SELECT md5(string_agg(text, $$-$$ ORDER BY g)) FROM noise'), $digest,
	'archive, backup and restore at a limit: every row is there');
$copy->stop;
$node->stop;

# --- waiting is no failure ---------------------------------------------------------------------------------------------
# 32 threads share half a megabyte a second, so each has 16 kB a second, and at times it has nothing for a second. Both
# is less than what a transfer within one second of retry-for must reach when nothing limits it (64 kB/s, 1 s).
my $s3 = PitrS3->start(dir => directory('s3'));
$s3->create_bucket('slow');
my $object = join '', map { chr int rand 256 } 1 .. 65536;
write_file("$Pitr::TEST_DIRECTORY/object", $object);
my %slow = ($s3->env, PITR_REPO => 's3://slow/x', TEST_RETRY_FOR_MS => 1000, TEST_LIMIT_RATE => 512 * 1024);
run_ok([ 'sh', '-c', 'exec "$@" < "$0"', "$Pitr::TEST_DIRECTORY/object", dirname($Pitr::BIN) . '/tools/storage_tool',
		'together', 32, 'object' ],
	'32 transfers to an S3 server that wait for one another longer than retry-for succeed', env => \%slow);
$s3->stop;
done_testing();
