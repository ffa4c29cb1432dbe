# The story of the README: a table was dropped, and is looked at again on a restored server that stands just before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

for my $version (pg_versions()) {
	my $repo = repo("pg$version");
	my $node = cluster("pg$version", version => $version, repo => $repo);
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], "PostgreSQL $version: a backup");
	$node->query('CREATE TABLE accounts AS SELECT g AS id FROM generate_series(1, 1234) g');
	my $time = $node->query('SELECT pg_sleep(0.1), clock_timestamp(), pg_sleep(0.1)') =~ s/^\|(.*)\|$/$1/r;
	$node->query('DROP TABLE accounts');
	$node->archive_all;
	$node->stop;

	# With only the configuration: pgdata is the old directory's name, which was moved away.
	my $copy = Pitr::Cluster->new("pg${version}_again", install_path => $node->install_path);
	$copy->{pitr_version} = $version;
	$repo->write_config(pgdata => $copy->data_dir);
	run_ok([ 'pitr-restore', '--target-time', $time ], 'pitr-restore --target-time …, as typed',
		env => { PITR_CONFIG => $repo->config });
	$copy->{pitr_repo} = $repo;
	$copy->own_address;
	$copy->begin;
	is($copy->query('SELECT pg_is_in_recovery()'), 't', 'the server is paused');
	my ($status, $stdout, $stderr) =
	  $copy->psql('postgres', "SET lock_timeout = '5s'; SELECT count(*) FROM accounts", on_error_die => 0);
	is($stdout, '1234', '… and the table can be read: the lock of the DROP is not there yet') or diag($stderr);
	$copy->query('SELECT pg_wal_replay_resume()');
	ok(wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' }), 'it is resumed, and promoted');
	is($copy->query('SELECT count(*) FROM accounts'), '1234', '… with the table');
	$copy->stop;
}
done_testing();
