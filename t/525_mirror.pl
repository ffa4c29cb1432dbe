# The local mirror of the catalog: it has what pitr-catalog says; going on with the one that is there comes to the same
# as making it anew, whatever has come since; and one that cannot be gone on with is replaced, or refused.
# sanitizer: yes
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Document;
use File::Copy qw(copy);
use JSON ();

my $recent_tool = "$Pitr::BIN/../tools/mirror_recent";
die "$recent_tool is missing: make build/tools/mirror_recent\n" unless -x $recent_tool;

my $repo    = repo('main', key => 1, settings => { 'log-level' => 'info' });
my $node    = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @catalog = ('pitr-catalog', $repo->options);

# Data directories of nobody's server, one that is gone on with and one that is made anew each time: what archivers write
# into their own is another test.
my %directory = map { $_ => directory($_) } 'recent', 'whole', 'other';
for (values %directory) {
	mkdir "$_/global", 0700;
	copy($node->data_dir . '/global/pg_control', "$_/global/pg_control") or die "could not copy: $!\n";
}

sub path { return "$directory{$_[0]}/pitr.catalog" }
sub document { return Pitr::Document::read_document(path($_[0])) }
sub whole { my ($where, $title) = @_; return run_ok([ @catalog, 'mirror', "--pgdata=$directory{$where}" ], $title // 'the mirror is made anew') }
sub recent { my ($title) = @_; return scalar(run_ok([ $recent_tool, $repo->options, "--pgdata=$directory{recent}" ], $title)) }
sub backup { my ($from, @more) = @_; return run_ok([ 'pitr-basebackup', $repo->options, $from->connection, '--checkpoint=fast', @more ], 'a backup is taken') }

sub segments_make {
	my ($from, $count) = @_;
	$from->psql('postgres', join '', map { "INSERT INTO t VALUES ($_);\nSELECT pg_switch_wal();\n" } 1 .. $count);
	$from->archive_all;
	return;
}

# What does not depend on when it was made.
sub timeless {
	my ($document) = @_;
	my %same = %$document;
	delete $same{written_us};
	$same{windows} = [ map { my %window = %$_; delete $window{as_of_us}; \%window } @{ $same{windows} } ];
	return \%same;
}

sub stored { return $repo->path . '/' . ($repo->objects(qr{/wal/.*/\Q$_[0]\E$}))[0] }

# Brought up to date from what there was, it is what is made anew, and what pitr-catalog says.
sub same_everywhere {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	recent("$title: the mirror is brought up to date");
	whole('whole', "$title: another one is made anew");
	my ($recent, $whole) = (document('recent'), document('whole'));
	is_deeply(timeless($recent), timeless($whole), "$title: both are the same");
	my $list   = run_json([ @catalog, '--json', 'list' ],   "$title: the list");
	my $window = run_json([ @catalog, '--json', 'window' ], "$title: the windows");
	is_deeply($recent->{backups}, $list->{backups}, "$title: the mirror has the list");
	my @windows = map { my %window = %$_; delete @window{qw(as_of_us marks)}; \%window } @{ $recent->{windows} };
	is_deeply({ map({ $_ => $recent->{$_} } grep { $_ ne 'windows' } keys %$window), windows => \@windows }, $window, "$title: and the windows");
	marks_are_right($_, $title) for @{ $recent->{windows} };
	return $recent;
}

sub marks_are_right {
	my ($window, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	my @marks = @{ $window->{marks} };
	my ($next, $commits, $wrong, $last) = ($window->{first_segment_number}, 0, 0, 0);
	for (@marks) {
		my ($from, $to, $bytes, $count, $min, $max, $lsn) = @$_;
		$wrong++ if $from != $next || $to < $from || $bytes == 0 || ($count == 0) != ($lsn == 0) || $min > $max || $lsn && $lsn <= $last;
		($next, $commits) = ($to + 1, $commits + $count);
		$last = $lsn if $lsn;
	}
	ok(!$wrong && $commits == $window->{commits}, "$title: marks follow each other and have the commits of \"$window->{label}\"")
	  or diag(explain($window));
	return;
}

# --- from nothing to a first backup

run_fails([ @catalog, 'mirror' ], 2, qr/data directory of the server is not known.*-D/s, 'it wants a data directory');
run_fails([ @catalog, 'mirror', '--pgdata=' . directory('empty') ], 2, qr/is no data directory/, 'a real one');
my $empty = same_everywhere('without a backup');
is_deeply([ @$empty{qw(backups windows gaps production)} ], [ [], [], [], 'main' ], 'nothing can be restored');
my ($system) = $node->query('SELECT system_identifier FROM pg_control_system()');
is_deeply([ @$empty{qw(cluster system_identifier branch repository)} ], [ 'main', $system, 'main', $repo->path ], 'but it is known of what');
my $config = $repo->config;
like($empty->{settings}, qr/ --config=\Q$config\E/, 'and how to restore it');

$node->query('CREATE TABLE t (i int)');
backup($node, '--label=first');
segments_make($node, 4);
my $first = same_everywhere('a backup');
is_deeply([ map { [ @$_{qw(backups gaps is_end is_proposed segment_size end)} ] } @{ $first->{windows} } ],
	[ [ 1, 0, JSON::true(), JSON::true(), 1 << 20, 'end of archive' ] ], 'one window');
is_deeply($first->{windows}[0]{labels}, [ $first->{backups}[0]{label} ], 'that names its backup');
is($first->{backups}[0]{status}, 'complete', 'whose status is told');

# --- more of it

same_everywhere('nothing new');
segments_make($node, 3);
same_everywhere('a few segments');

# A commit that crosses from a segment into the next: with so many subtransactions its record is longer than two segments.
$node->query(<<'SQL');
CREATE FUNCTION many(n int) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN FOR i IN 1 .. n LOOP BEGIN INSERT INTO t VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$;
SQL
$node->archive_all;
recent('before a long commit');
my %seen = map { $_ => 1 } $repo->objects(qr{/wal/});
my $commits_before = document('recent')->{windows}[0]{commits};
$node->psql('postgres', 'SELECT many(600000)');
$node->archive_all;
my @new = map { $repo->path . "/$_" } grep { !$seen{$_} } $repo->objects(qr{/wal/});
splice @new, 0, -8;     # the record is at the end
rename $_, "$directory{other}/" . s{.*/}{}r or die "could not move: $!\n" for @new;
for my $segment (@new) {    # each as if it were the last one, wherever the record begins and ends
	rename "$directory{other}/" . $segment =~ s{.*/}{}r, $segment or die "could not move: $!\n";
	run_program([ $recent_tool, $repo->options, "--pgdata=$directory{recent}" ]);
}
my ($long) = @{ same_everywhere('a commit across segments')->{windows} };
ok($long->{commits} > $commits_before, 'it is counted');

$node->query("SELECT pg_create_restore_point('one')");
$node->query("SELECT pg_create_restore_point('two')");
segments_make($node, 2);
my $points = same_everywhere('restore points');
is_deeply([ map { [ @$_{qw(name timeline branch)} ] } @{ $points->{restore_points} } ], [ [ 'one', 1, 'main' ], [ 'two', 1, 'main' ] ], 'which are there');
is($points->{restore_points_omitted}, 0, 'all of them');

backup($node, '--label=second');
segments_make($node, 2);
is_deeply([ map { $_->{backups} } @{ same_everywhere('another backup')->{windows} } ], [2], 'which is in the window');
my $label = (map { $_->{label} } grep { $_->{name} eq 'second' } @{ document('recent')->{backups} })[0];
run_ok([ @catalog, 'pin', $label ], 'it is pinned');
ok((grep { $_->{label} eq $label && $_->{pinned_until_us} } @{ same_everywhere('a pin')->{backups} }), 'which is known');
run_ok([ @catalog, 'unpin', $label ], 'and no longer');
ok(!(grep { $_->{pinned_until_us} } @{ same_everywhere('no pin')->{backups} }), 'which is known as well');

# --- a gap: segments that nobody archived

recent('before a gap');
my @lost = map { $node->query("INSERT INTO t VALUES ($_)"); $node->switch_wal } 1 .. 2;
segments_make($node, 3);
my %kept = map { $_ => read_file(stored($_)) } @lost;
my %place = map { $_ => stored($_) } @lost;
damage($place{$_}, 'remove') for @lost;
my $holed = same_everywhere('a gap');
is_deeply([ map { [ @$_{qw(end gaps)} ] } @{ $holed->{windows} } ], [ [ 'gap', 1 ] ], 'the window ends at it');
is_deeply([ map { [ @$_{qw(first last segments)} ] } @{ $holed->{gaps} } ], [ [ @lost, 2 ] ], 'which is named');
segments_make($node, 2);
same_everywhere('more behind the gap');
backup($node, '--label=behind');
segments_make($node, 2);
is_deeply([ map { $_->{end} } @{ same_everywhere('a backup behind the gap')->{windows} } ], [ 'gap', 'end of archive' ], 'begins a window');
segments_make($node, 2);
same_everywhere('more of that');

# --- another timeline

my $standby = Pitr::Cluster->new('standby', install_path => $node->install_path);
$standby->{pitr_version} = $node->version;
run_ok([ $node->bin . '/pg_basebackup', $node->connection, '-D', $standby->data_dir, '-X', 'stream', '-R', '--checkpoint=fast' ], 'a standby is made');
$standby->own_address;
$standby->start;
$node->archive_all;
ok(wait_until(sub { $standby->query('SELECT pg_last_wal_replay_lsn() >= \'' . $node->query('SELECT pg_current_wal_lsn()') . '\'') eq 't' }), 'it follows');
$node->stop;
$standby->promote;
$standby->query('INSERT INTO t VALUES (1)');
$standby->archive_all;
my $promoted = same_everywhere('a promotion');
is_deeply([ map { $_->{timeline} } @{ $promoted->{windows} } ], [ 1, 1, 2, 2 ], 'both timelines have windows');
segments_make($standby, 3);
$standby->query("SELECT pg_create_restore_point('three')");
$standby->archive_all;
is_deeply([ map { [ @$_{qw(name timeline)} ] } @{ same_everywhere('more of the new timeline')->{restore_points} } ],
	[ [ 'one', 1 ], [ 'two', 1 ], [ 'three', 2 ] ], 'a restore point is there once');

# The lost segments are found after all.
write_file($place{ $lost[0] }, $kept{ $lost[0] });
is_deeply([ map { @$_{qw(first segments)} } @{ same_everywhere('half of the gap is filled')->{gaps} } ], [ $lost[1], 1 ], 'it is smaller');
write_file($place{ $lost[1] }, $kept{ $lost[1] });
my $filled = same_everywhere('the gap is filled');
is_deeply([ map { [ @$_{qw(backups end)} ] } @{ $filled->{windows} } ], [ ([ 3, 'end of archive' ]) x 2 ], 'windows are whole again');

# A backup goes, and its window begins later.
my ($fact) = $repo->objects(qr{/backup/\Q$first->{backups}[0]{label}\E});
damage($repo->path . "/$fact", 'remove');
is_deeply([ map { $_->{label} } @{ same_everywhere('the first backup is gone')->{windows} } ], [ ($label) x 2 ], 'the windows begin with the next');
segments_make($standby, 1);
same_everywhere('and go on');

# What was seen is not asked for again: a segment that is damaged since is found when all is looked at.
damage($place{ $lost[0] }, 'flip', offset => 40);
my $before = timeless(document('recent'));
recent('an old segment is damaged');
is_deeply(timeless(document('recent')), $before, 'it is not asked for again');
whole('recent', 'it is looked at');
is(document('recent')->{windows}[0]{end}, 'damaged', 'and found');
write_file($place{ $lost[0] }, $kept{ $lost[0] });
is_deeply([ map { $_->{end} } @{ same_everywhere('it is mended')->{windows} } ], [ ('end of archive') x 2 ], 'which is seen');

# --- another branch

my $copy = restore('copy', source => $standby, repo => $repo);
$copy->query('INSERT INTO t VALUES (1)');
$copy->archive_all;
my $branched = same_everywhere('a restored copy goes on');
my ($branch) = grep { $_ ne 'main' } map { $_->{branch} } @{ $branched->{windows} };
like($branch // '', qr/^restore-/, 'in a branch of its own');
segments_make($copy, 3);
$copy->query("SELECT pg_create_restore_point('four')");
$copy->archive_all;
is_deeply([ map { $_->{branch} } @{ same_everywhere('more of that')->{restore_points} } ], [ 'main', $branch ], 'with a restore point');
backup($copy);
$copy->archive_all;
same_everywhere('and a backup');
run_ok([ @catalog, 'mirror', '--pgdata=' . $copy->data_dir ], 'the mirror of the copy itself');
my $own = timeless(Pitr::Document::read_document($copy->data_dir . '/pitr.catalog'));
is(delete $own->{branch}, $branch, 'says that it is of the branch');
my $others = timeless(document('whole'));
delete $others->{branch};
is_deeply($own, $others, 'and has all of the others');
$copy->stop;

# --- too much for once

# Segments that nobody has looked at: so many that even to look is too much by the way.
my ($newest) = map { $_->{last_segment} } grep { $_->{timeline} == 2 } @{ document('recent')->{windows} };
my $number = hex(substr $newest, 16) + 4096 * hex substr $newest, 8, 8;
my $folder = stored($newest) =~ s{/[^/]+/[^/]+$}{}r;
my @made;
for my $at ($number + 1 .. $number + 4097) {
	my $log = sprintf '%08X', int($at / 4096);
	mkdir "$folder/$log", 0700;
	push @made, write_file(sprintf("%s/%s/00000002%s%08X", $folder, $log, $log, $at % 4096), '');
}
my $known = timeless(document('recent'));
my (undef, $said) = run_ok([ $recent_tool, $repo->options, "--pgdata=$directory{recent}" ], 'there is very much that is new');
like($said, qr/more than 4096 WAL segments .*run "pitr-catalog mirror"/, 'which is said');
my $behind = document('recent');
is($behind->{is_partial}, JSON::true(), 'and to be seen');
is_deeply({ %{ timeless($behind) }, is_partial => undef }, { %$known, is_partial => undef }, 'the windows stay as they were');
cmp_ok((grep { $_->{timeline} == 2 } @{ $behind->{windows} })[0]{as_of_us}, '<', $behind->{written_us}, 'and say from when they are');
unlink @made;
segments_make($standby, 1);
recent('it is not looked at again');
is_deeply(timeless(document('recent')), timeless($behind), 'until that is asked for');
whole('recent');
ok(!exists document('recent')->{is_partial}, 'then all is known');
same_everywhere('and it goes on');

# --- rights, and what is there already

is((stat path('whole'))[2] & 07777, 0600, 'the file is its owner\'s alone');
$repo->write_config('key-file' => $repo->key . '.host');
segments_make($standby, 1);
is((same_everywhere('with the host key alone')->{windows}[0]{end}), 'end of archive', 'all is known');

my $title = 'one that is cut or damaged is replaced, and that is said';
my $wanted = timeless(document('whole'));
for my $case ([ 'truncate', size => 0 ], [ 'truncate', size => 30 ], [ 'truncate' ], [ 'flip' ], [ 'flip', offset => 3 ], [ 'extend' ]) {
	damage(path('recent'), $case->[0], @$case[ 1 .. $#$case ]);
	my (undef, $stderr) = run_ok([ $recent_tool, $repo->options, "--pgdata=$directory{recent}" ], "$title (@$case)");
	like($stderr, qr/is cut or damaged: it is made anew/, 'it is said');
	is_deeply(timeless(document('recent')), $wanted, "$title (@$case)");
}
# Right by its checksum, but not what it should be.
for my $case ([ 'no document', {} ], [ 'no windows', { %$wanted, written_us => 1, windows => [ {} ] } ], [ 'backups of another kind', { %$wanted, written_us => 1, backups => [1] } ],
	[ 'of another repository', { %{ document('whole') }, repository_id => '0' x 32, backups => [] } ],
	[ 'of the future', { %{ document('whole') }, written_us => 4102444800000000, backups => [], windows => [] } ]) {
	Pitr::Document::write_document(path('recent'), $case->[1]);
	recent("$case->[0] is replaced");
	is_deeply(timeless(document('recent')), $wanted, "$case->[0] is replaced");
}
Pitr::Document::write_document(path('recent'), { whatever => 1 }, 2);
my $newer = read_file(path('recent'));
run_fails([ $recent_tool, $repo->options, "--pgdata=$directory{recent}" ], 2, qr/is of version 2, and this program knows version 1.*update/s, 'a newer one is refused');
run_fails([ @catalog, 'mirror', "--pgdata=$directory{recent}" ], 2, qr/is of version 2/, 'by the verb as well');
is(read_file(path('recent')), $newer, 'and stays');

# Another cluster's directory.
my $stranger = cluster('stranger', start => 0);
run_fails([ @catalog, 'mirror', '--pgdata=' . $stranger->data_dir ], 2, qr/has the system identifier/, 'another cluster\'s directory is refused');
ok(!-e $stranger->data_dir . '/pitr.catalog', 'and nothing is written there');
chmod 0500, $directory{other};
run_fails([ @catalog, 'mirror', "--pgdata=$directory{other}" ], 1, qr/could not (create|open).*pitr\.catalog/, 'a directory that cannot be written to is named');
chmod 0700, $directory{other};
done_testing();
