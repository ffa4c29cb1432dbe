# pitr-basebackup: the server compresses what passes a network or is encrypted, and the backup is the same.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $tls = directory('tls');
run_ok([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost), '-keyout', "$tls/server.key", '-out', "$tls/server.crt" ],
	'a certificate is made');
chmod 0600, "$tls/server.key";

my @fast = ('--checkpoint=fast', '--wal-timeout=60s', '--log-level=info');

# The backup that is taken this way; returns what it said.
sub backup {
	my ($repo, $title, @connection) = @_;
	my (undef, $stderr) = run_ok([ 'pitr-basebackup', $repo->options, @connection, @fast ], $title, env => { HOME => $tls });
	return $stderr;
}

sub newest {
	my ($repo) = @_;
	my $list = run_json([ 'pitr-catalog', $repo->options, 'list', '--json' ], '… and listed');
	return (sort map { $_->{label} } @{ $list->{backups} })[-1];
}

for my $version (grep { $_ >= 15 } is_full_run() ? pg_versions() : (pg_versions())[0]) {
	my $repo = repo("version$version");
	my $node = cluster("version$version", version => $version, repo => $repo, start => 0, conf => <<"SETTINGS");
listen_addresses = '127.0.0.1'
ssl = on
ssl_cert_file = '$tls/server.crt'
ssl_key_file = '$tls/server.key'
autovacuum = off
SETTINGS
	open my $hba, '>>', $node->data_dir . '/pg_hba.conf' or die;
	print $hba "host all,replication all 127.0.0.1/32 trust\n";
	close $hba or die;
	$node->start;
	my $place = directory("tablespace$version");
	$node->query("CREATE TABLESPACE elsewhere LOCATION '$place'");
	$node->query($_)
	  for 'CREATE TABLE far TABLESPACE elsewhere AS SELECT g AS id FROM generate_series(1, 50000) g',
	  q{CREATE TABLE dense AS SELECT md5(g::text) || md5((-g)::text) AS text FROM generate_series(1, 50000) g}, 'CREATE TABLE empty ()', 'VACUUM FREEZE';
	my $port     = $node->port;
	my $says     = qr/^pitr-basebackup: the server compresses the stream with lz4: the connection is encrypted$/m;
	my $over_tls = "host=127.0.0.1 port=$port sslmode=verify-ca sslrootcert=$tls/server.crt user=" . getpwuid $>;

	unlike(backup($repo, "version $version: a backup over a Unix socket", $node->connection), qr/compress/, '… is not compressed');
	unlike(backup($repo, '… over TCP within the host', '-d', $over_tls =~ s/verify-ca/disable/r), qr/compress/, '… is not compressed either');
	unlike(backup($repo, '… with a rate, which counts what the server reads', '-d', $over_tls, '--max-rate=1GB'),
		qr/compress/, '… is not compressed even if encrypted');
	like(backup($repo, '… over TLS', '-d', $over_tls), $says, '… is compressed, and says so');

	# Without a target it is the newest one that is restored.
	my $moved = directory("moved$version");
	my $copy = restore("copy$version", source => $node, repo => $repo, start => 0, options => [ '-T', "$place=$moved" ],
		title => '… and restored');
	like($copy->restore_output, qr/\Q@{[ newest($repo) ]}\E/, '… it, and not one before it');
	run_ok([ $node->bin . '/pg_verifybackup', '-n', '-i', 'tablespace_map', '-i', 'pitr.branch', '-i', 'pitr.restore', '-i', 'pitr.catalog',
		$copy->data_dir ], '… as PostgreSQL finds right, byte for byte');
	$copy->begin;
	is($copy->query('SELECT (SELECT count(*) FROM far) || \' \' || (SELECT count(*) FROM dense)'), '50000 50000', '… and readable');
	$copy->stop;
	$node->stop;
}

done_testing();
