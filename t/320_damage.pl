# Recovery from a damaged archive: every harm to any object is named, stops the server with FATAL or the restore with
# an error, and never lets it open with data missing.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Copy ();
use Pitr;

my $repo  = repo('main', key => 1, settings => { 'retry-for' => '1s' });
my $other = repo('other', key => 1);
my $node  = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], log_commits => 1);
my $oracle = oracle($node);
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup');
$oracle->load(seconds => 1, rate => 200), $node->archive_all for 1 .. 4;
$oracle->commits;
$node->archive_all;
$node->stop;
my @before = $repo->objects;

# Repositories of another cluster, and of the same cluster twice: what lies there must not pass here.
my $stranger = cluster('stranger', repo => $other, initdb => ['--wal-segsize=1']);
run_ok([ 'pitr-basebackup', $other->options, $stranger->connection, '--checkpoint=fast' ], 'a backup of another cluster');
$stranger->archive_all for 1 .. 3;
$stranger->stop;

my ($first_pack, $second_pack) = $repo->objects(qr{/pack/});
my ($manifest) = $repo->objects(qr{/manifest/});
my ($fact)     = $repo->objects(qr{/complete$});
my ($identity) = $repo->objects(qr{/identity$});
my ($recipient) = $repo->objects(qr{/recipient/});
my ($backup)   = @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the list')->{backups} };
my @segments   = grep { /\/[0-9A-F]{24}$/ } $repo->objects(qr{/wal/});
my ($high, $low) = split /\//, $backup->{stop_lsn};
my $after_backup = sprintf '%08X%08X%08X', 1, 0, (hex($low) >> 20) + 2;
my ($middle) = grep { /$after_backup$/ } @segments;
my ($next)   = $segments[ (grep { $segments[$_] eq $middle } 0 .. $#segments)[0] + 1 ];
my ($foreign) = grep { /\/[0-9A-F]{24}$/ } $other->objects(qr{/wal/});
my $path = sub { $repo->path . "/$_[0]" };
my $size = -s $path->($middle);

# Undone after each: the objects that were harmed.
sub harmed {
	my ($objects, $harm, $check) = @_;
	my %kept = map { $_ => read_file($path->($_)) } @$objects;
	$harm->();
	$check->();
	write_file($path->($_), $kept{$_}) for keys %kept;
}

# --- objects that a restore reads before anything is started -----------------------------------------------------------
my %sort_of = ('identity' => $identity, 'recipient key' => $recipient, 'backup fact' => $fact, 'manifest part' => $manifest,
	'pack' => $first_pack);
my @kinds = (
	[ 'a bit flipped in the header',   sub { damage($path->($_[0]), 'flip', offset => 60) } ],
	[ 'a bit flipped in the middle',   sub { damage($path->($_[0]), 'flip') } ],
	[ 'a bit flipped in the last tag', sub { damage($path->($_[0]), 'flip', offset => -1) } ],
	[ 'cut in half',                   sub { damage($path->($_[0]), 'truncate') } ],
	[ 'one byte too many',             sub { damage($path->($_[0]), 'extend') } ],
	[ 'empty',                         sub { damage($path->($_[0]), 'empty') } ],
	[ 'gone',                          sub { damage($path->($_[0]), 'remove') } ],
);
my $try = 0;
for my $sort (sort keys %sort_of) {
	my $object = $sort_of{$sort};
	for my $kind (@kinds) {
		my ($title, $do) = @$kind;
		harmed([$object], sub { $do->($object) }, sub {
			my $directory = "$Pitr::TEST_DIRECTORY/never" . ++$try;
			my ($status, $stdout, $stderr) = run_program([ 'pitr-restore', $repo->options, '-D', $directory ]);
			ok($status =~ /^[12]$/ && $stderr =~ /^pitr-restore: (error|warning): /m, "$sort: $title: an error, and why")
			  or diag("status $status\n$stderr");
			ok(!-e "$directory/global/pg_control", '… and what was written cannot be started');
			File::Path::remove_tree($directory);
		});
	}
}
harmed([ $first_pack, $manifest ], sub { damage($path->($first_pack), 'swap', other => $path->($manifest)) }, sub {
	run_fails([ 'pitr-restore', $repo->options, '-D', "$Pitr::TEST_DIRECTORY/never" ], 1, qr/was sealed as|is of kind/,
		'two objects swapped: named');
	File::Path::remove_tree("$Pitr::TEST_DIRECTORY/never");
});

# The same segment, of the same cluster, sealed with the same key, but in another repository.
my $twin = repo('twin', settings => { 'key-file' => $repo->key })->init($node);
my $segment = directory('twin') . '/' . ($middle =~ s/.*\///r);
run_ok([ 'pitr-fetch', $repo->options, $middle =~ s/.*\///r, $segment ], 'a segment is fetched');
run_ok([ 'pitr-archive', $twin->options, $segment ], '… and stored in another repository of the cluster');
my ($of_twin) = $twin->objects(qr/\Q@{[ $middle =~ s{.*\/}{}r ]}\E$/);

# --- WAL that is read while the server recovers ----------------------------------------------------------------------------
my $start = sub {
	my ($name, $title) = @_;
	my $copy = restore($name, source => $node, repo => $repo, start => 0) or return;
	return $copy;
};
my $key_text = read_file($repo->key);
my $other_key_text = read_file($other->key);
my @harms = (
	[ 'a bit flipped in the header',   sub { damage($path->($middle), 'flip', offset => 60) },  qr/$after_backup/ ],
	[ 'a bit flipped in a frame',      sub { damage($path->($middle), 'flip') },                qr/$after_backup/ ],
	[ 'a bit flipped in the last tag', sub { damage($path->($middle), 'flip', offset => -1) },  qr/$after_backup/ ],
	[ 'cut short',                     sub { damage($path->($middle), 'truncate') },            qr/cut off/ ],
	[ 'a segment missing in the middle', sub { damage($path->($middle), 'remove') },            qr/is missing from the repository/ ],
	[ 'two segments swapped',          sub { damage($path->($middle), 'swap', other => $path->($next)) }, qr/was sealed as/ ],
	[ 'a segment of another cluster',  sub { File::Copy::copy($other->path . "/$foreign", $path->($middle)) }, qr/$after_backup/ ],
	[ 'a segment of another repository', sub { File::Copy::copy($twin->path . "/$of_twin", $path->($middle)) }, qr/belongs to repository/ ],
	[ 'the wrong key',                 sub { write_file($repo->key, $other_key_text) },         qr/host key/ ],
	[ 'an unreachable repository',     sub { rename $repo->path, $repo->path . '.away' },       qr/is it mounted/ ],
);

for my $harm (@harms) {
	my ($title, $do, $pattern) = @$harm;
	my $name = 'harmed' . ++$try;
	my $copy = $start->($name, $title) or next;
	harmed([ $middle, $next ], $do, sub {
		my $started = $copy->start(fail_ok => 1);
		wait_until(sub { $copy->is_gone }, 30);
		my $log = read_file($copy->logfile);
		ok($copy->is_gone && $log =~ /FATAL:  could not restore file/, "$title: recovery stops with FATAL");
		like($log, $pattern, '… and the log says why');
		unlike($log, qr/selected new timeline ID|database system is ready to accept connections/, '… and never promotes');
		rename $repo->path . '.away', $repo->path if -e $repo->path . '.away';
		write_file($repo->key, $key_text);
	});
	# Once the harm is mended, the same directory goes on from there.
	if ($title =~ /missing|unreachable|frame/) {
		$copy->begin;
		is_restored_to($copy, $oracle, { latest => 1 }, '… and mended, the same directory recovers everything')
		  unless $copy->is_gone;
	}
	$copy->teardown_node;
}
# The copies that were mended archive to branches of their own.
is_deeply([ grep { !m{/restore-[0-9a-f]{8}/} } $repo->objects ], \@before, 'the repository is as it was');
done_testing();
