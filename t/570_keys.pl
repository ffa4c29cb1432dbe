# Keys: a recipient is added and can read everything, one is retired and what comes then is closed to it, and nothing that
# is stored is touched, whoever interferes and wherever it is interrupted.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

use IPC::Run ();
use JSON ();
use Time::HiRes ();

my $repo = repo('main', key => 1);
my %key  = (first => $repo->key, map { $_ => $repo->key . "-$_" } qw(second third stranger));
my %fingerprint;    # of each one, by its name

# --- what the others use ---------------------------------------------------------------------------------------------

# pitr-catalog on this repository with that key.
sub catalog { my ($which, @words) = @_; return [ 'pitr-catalog', $repo->options, "--key-file=$key{$which}", @words ] }
sub epochs  { my ($which) = @_; return run_json(catalog($which, '--json', 'key', 'list'), "the keys, seen with the $which one")->{epochs} }

# Names of the recipients of an epoch.
sub readers {
	my ($epoch) = @_;
	my %name = reverse %fingerprint;
	return join ' ', sort map { $name{ $_->{fingerprint} } // $_->{fingerprint} } @{ $epoch->{recipients} };
}

# What happened to the objects: nothing to those that were there, and these are new.
sub stored_since {
	my ($before, $title) = @_;
	my $now     = $repo->contents;
	my @changed = grep { ($now->{$_} // '') ne $before->{$_} } sort keys %$before;
	is_deeply(\@changed, [], "$title: nothing that was stored is touched");
	return map { s{^main/key/}{}r } grep { !exists $before->{$_} } sort keys %$now;
}

my $fetches = 0;

# Fetches a segment with a key: 'read', or what pitr-fetch says.
sub fetched {
	my ($which, $segment) = @_;
	my $destination = "$Pitr::TEST_DIRECTORY/fetched-" . ++$fetches;
	my ($status, undef, $stderr) = run_program([ 'pitr-fetch', $repo->options, "--key-file=$key{$which}",
			'--retry-for=1s', $segment, $destination ]);
	return 'read' if $status == 0 && -s $destination;
	return "$status $stderr";
}

my $restores = 0;

# The rows that a restore with that key brings back.
sub restored_rows {
	my ($node, $which, @target) = @_;
	my $copy = restore('copy' . ++$restores, source => $node, repo => $repo,
		target => [ @target, '--target-action=promote' ], options => ["--key-file=$key{$which}"]) or return 'none';
	my $rows = rows($copy);
	$copy->stop('immediate');
	File::Path::remove_tree($copy->basedir);
	return $rows;
}

sub rows   { my ($node) = @_; return $node->query(q{SELECT string_agg(who, ' ' ORDER BY id) FROM t}) }
sub add    { my ($node, $who) = @_; $node->query("INSERT INTO t (who) VALUES ('$who')"); return $node->archive_all }
sub backup { my ($node, $title) = @_; return run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], $title) }

# --- making keys -----------------------------------------------------------------------------------------------------

for my $which (qw(second third)) {
	my (undef, $said) = run_ok([ 'pitr-catalog', 'keygen', $key{$which}, "--host-key-of=$key{first}" . ($which eq 'third' ? '.host' : '') ],
		"a $which key for the same repository");
	like($said, qr/key add/, '… that is of no use before it is added, and that is said');
}
run_ok([ 'pitr-catalog', 'keygen', $key{stranger} ], 'a key of another repository');
my %host_key;
for my $which (sort keys %key) {
	($fingerprint{$which}, $host_key{$which}) = read_file($key{$which}) =~ /^# pitr key ([0-9a-f]{16}), of host key ([0-9a-f]{16})/
	  or die "no fingerprints in $key{$which}";
}
is("$host_key{second} $host_key{third}", "$host_key{first} $host_key{first}", 'they have the same host key');
isnt($host_key{stranger}, $host_key{first}, '… and the stranger another');
is(scalar keys %{ { reverse %fingerprint } }, 4, 'each has a fingerprint of its own');
run_fails([ 'pitr-catalog', 'keygen', $key{second}, "--host-key-of=$key{first}" ], 1, qr/already exists/, 'no key file is overwritten');
run_fails([ 'pitr-catalog', 'keygen', "$key{second}-x", '--host-key-of=/nowhere' ], 2, qr/could not open key file/, 'the file must be there');
run_fails([ 'pitr-catalog', "--host-key-of=$key{first}", 'list' ], 2, qr/belongs to the verb "keygen"/, 'the flag is keygen\'s');

# --- a server that has the host key ----------------------------------------------------------------------------------

my $node = cluster('source', repo => $repo);
$repo->write_config('key-file' => "$key{first}.host");
$node->query('CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, who text)');
my $old_segment = add($node, 'before');
backup($node, 'a base backup in the first epoch');
add($node, 'then');
my $point = 'in_the_first_epoch';
$node->query("SELECT pg_create_restore_point('$point')");
# Recovery reads ahead of where it is, by up to wal_decode_buffer_size (512 kB).
$node->query(q{SELECT pg_logical_emit_message(false, 'room', repeat('x', 1000000))}) for 1 .. 2;
$node->archive_all;

is(fetched('first', $old_segment), 'read', 'the first key reads');
like(fetched('second', $old_segment), qr/^200 .*not a recipient of key epoch 1 .*key add/s, 'the second does not, and it is said why');
my ($epoch) = @{ epochs('second') };
is(readers($epoch), 'first', 'who may read can be listed by who may not');
is($epoch->{recipients}[0]{is_proven}, undef, '… but not proven');
my $list = run_ok(catalog('first', 'key', 'list'), 'the list for people');
like($list, qr/^host key $host_key{first}\nepoch 1 \(current\), begun .*\n  $fingerprint{first}  added .*, this key file\n\z/, '… says whose key is used');
run_ok([ 'pitr-catalog', $repo->options, 'key', 'list' ], 'a host key may list too');

# --- adding ----------------------------------------------------------------------------------------------------------

# As many objects as there are in a repository that is in use. What they hold does not matter: nothing looks at them.
my ($some) = $repo->objects(qr{/wal/.*\Q$old_segment\E$});
for my $number (1 .. (is_full_run() ? 10_000 : 300)) {
	my $name = sprintf '%s/%s%08X', $repo->path . '/' . File::Basename::dirname($some), substr($old_segment, 0, 16), 0x1000 + $number;
	write_file($name, "object $number");
}
my $before = $repo->contents;
run_fails([ 'pitr-catalog', $repo->options, 'key', 'add', $key{second} ], 1, qr/is a host key: it cannot say who may read/, 'a host cannot add a key');
run_fails(catalog('second', 'key', 'add', "$key{second}.host"), 1, qr/is not a recipient of key epoch 1/, 'nor can who is no recipient');
run_fails(catalog('first', 'key', 'add', $key{stranger}), 2, qr/has the host key $host_key{stranger}, but .*--host-key-of/s, 'a key of another repository is refused');
run_fails(catalog('first', 'key', 'add'), 2, qr/"key add" with 0 arguments/, 'and none');
is_deeply([ stored_since($before, 'refused') ], [], '… and stores nothing');
like(run_ok(catalog('first', 'key', 'add', "$key{second}.host"), 'the second key is added by its public half'),
	qr/$fingerprint{second} can read .* 1 object was stored/, '… which is said');
my @new = stored_since($before, 'added');
ok(@new == 1 && $new[0] =~ m{^00000001/recipient/[0-9a-f]{16}/$fingerprint{second}$}, 'one object is new') or diag("@new");
like(run_ok(catalog('first', 'key', 'add', $key{second}), 'once more'), qr/already; nothing was stored/, '… is no more');
is(scalar(stored_since($before, 'again')), 1, '… object');
is(fetched('second', $old_segment), 'read', 'the second key reads what was stored before it was made');
add($node, 'added');
is(restored_rows($node, 'first'), 'before then added', 'the first key restores');
is(restored_rows($node, 'second'), 'before then added', '… and so does the second');

# --- retiring --------------------------------------------------------------------------------------------------------

$before = $repo->contents;
run_fails(catalog('second', 'key', 'remove', $fingerprint{third}), 2, qr/no recipient of key epoch 1/, 'who is none is not retired');
run_fails(catalog('second', 'key', 'remove', 'abc'), 2, qr/is not a key's fingerprint/, 'nor is what is no fingerprint');
run_fails([ 'pitr-catalog', $repo->options, 'key', 'remove', $fingerprint{first} ], 1, qr/is a host key/, 'a host cannot retire');
is_deeply([ stored_since($before, 'refused') ], [], '… and nothing is stored');
like(run_ok(catalog('second', 'key', 'remove', $fingerprint{first}), 'the first key is retired'),
	qr/^Key epoch 2 has begun without $fingerprint{first}, for 1 other\..*What was stored before stays readable with it.*\nWho reads on; .*:\n  $fingerprint{second}  added [^\n]*, this key file\n\z/s, '… and it is said what that means');
@new = stored_since($before, 'retired');
ok(@new == 2 && $new[0] eq '00000002/public' && $new[1] =~ m{^00000002/recipient/[0-9a-f]{16}/$fingerprint{second}$}, 'two objects are new') or diag("@new");
my @epochs = @{ epochs('second') };
is(join(', ', map { "$_->{epoch}: " . readers($_) } @epochs), '1: first second, 2: second', 'the list says who reads what');
is(join(' ', map { ($_->{is_proven}, $_->{is_current}, $_->{retired} // '-') } @epochs), "1 0 - 1 1 $fingerprint{first}", '… which is current, and that it is right');

my $new_segment = add($node, 'later');
like(fetched('first', $new_segment), qr/^200 .*not a recipient of key epoch 2/s, 'what is stored from then on is closed to the first key');
is(fetched('first', $old_segment), 'read', '… and what was stored before is not');
is(fetched('second', $_), 'read', "the second reads $_") for $old_segment, $new_segment;
run_ok([ 'pitr-archive', $repo->options, '--pgdata=' . $node->data_dir, $node->data_dir . "/pg_wal/$old_segment" ],
	'a segment of the first epoch is known again when it is sent in the second') if -e $node->data_dir . "/pg_wal/$old_segment";
backup($node, 'a base backup in the second epoch, by a host with the retired key\'s host half');
add($node, 'last');
is(restored_rows($node, 'second'), 'before then added later last', 'the second restores all of it');
is(restored_rows($node, 'first', "--target-name=$point"), 'before then', 'the first still restores what it could');
run_fails([ 'pitr-restore', $repo->options, "--key-file=$key{first}", '--retry-for=1s', '-D', "$Pitr::TEST_DIRECTORY/closed" ],
	2, qr/not a recipient of key epoch 2/, '… and nothing newer');

my @python = ('/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/pitr_format.py");
my ($branch) = map { s{/backup/.*}{}r } $repo->objects(qr{/complete$});
is(run_ok([ @python, 'recipients', $key{second}, $repo->path, 'main', 2 ], 'the second implementation proves who reads'),
	"$fingerprint{second} " . $epochs[1]{recipients}[0]{host} . "\n", '… the same');
is(length run_ok([ @python, 'wal', $key{second}, $repo->path, $branch, $_ ], "… and reads $_"), 16 << 20, '… whole') for $old_segment, $new_segment;
run_fails([ @python, 'wal', $key{first}, $repo->path, $branch, $new_segment ], 1, qr/^DENIED: our key is no recipient/, '… but not with the retired key');

# --- one's own, and the last -----------------------------------------------------------------------------------------

run_fails(catalog('second', 'key', 'remove', $fingerprint{second}), 2, qr/is the last key .*--host-key-of/s, 'the last key is not retired');
run_fails(catalog('first', 'key', 'remove', $fingerprint{second}), 1, qr/is not a recipient of key epoch 2/, 'a retired key cannot retire');
run_fails(catalog('first', 'key', 'add', $key{third}), 1, qr/is not a recipient of key epoch 2/, '… nor add');
$before = $repo->contents;
like(run_ok(catalog('second', 'key', 'add', $key{third}), 'a third key is added to both epochs'), qr/2 objects were stored/, '… in two objects');
is(scalar(stored_since($before, 'third')), 2, '… and no more');
my (undef, $said) = run_ok(catalog('second', 'key', 'remove', $fingerprint{second}), 'where there is another, one\'s own can be retired');
like($said, qr/cannot restore what is stored from now on/, '… with a warning');
is(fetched('third', add($node, 'third')), 'read', 'the third reads on');
my (undef, $closed) = run_ok(catalog('third', 'key', 'add', $key{second}), 'it lets the second in again');
unlike($closed, qr/closed/, '… everywhere');

# --- at the same time ------------------------------------------------------------------------------------------------

# Runs the slow command, each of whose objects takes a while to appear, and the quick one once the slow one is at its
# first. Returns the slow one's status and what it says.
sub meanwhile {
	my ($slow, $quick) = @_;
	my ($out, $err) = ('', '');
	$slow->[0] = "$Pitr::BIN/$slow->[0]";
	local $ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'detect_leaks=0';    # it does not work under strace
	my $run = IPC::Run::start([ 'strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=renameat2',
			'-e', 'inject=renameat2:delay_enter=800000', @$slow ], '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	ok(wait_until(sub { glob $repo->path . '/tmp/*' }), 'one is at work') or diag($err);
	run_ok($quick, 'and another one too');
	$run->finish;
	return ($run->full_result(0) >> 8) . " $out$err";
}

# What all of these begin with: a repository of which only the keys are left, which is copied fast.
sub reset_to { my ($state) = @_; return system('rm', '-rf', $repo->path) == 0 && system('cp', '-a', $state, $repo->path) == 0 }
my $state = "$Pitr::TEST_DIRECTORY/state";
system('cp', '-a', $repo->path, $state) == 0 or die;
my ($sealed) = grep { -s $repo->path . "/$_" > 100 && unpack('x20 V', read_file($repo->path . "/$_")) == 3 } $repo->objects(qr{/wal/.*[0-9A-F]{24}$});
my $sealed_object = read_file($repo->path . "/$sealed");    # of a segment, of epoch 3
File::Path::remove_tree(grep { !m{/identity$} } glob "$state/main/[0-9]*/*");
is(readers(epochs('third')->[-1]), 'second third', 'two keys are recipients');

like(meanwhile(catalog('third', 'key', 'remove', $fingerprint{second}), catalog('second', 'key', 'remove', $fingerprint{third})),
	qr/^1 .*key epoch 4 was begun by somebody else at the same moment/s, 'of two that retire each other at once one is refused');
is(join(', ', map { readers($_) } @{ epochs('second') }[-1]), 'second', '… and the other one has done it');
is(fetched('second', add($node, 'raced')), 'read', '… and reads on');

reset_to($state);
like(meanwhile(catalog('second', 'key', 'add', $key{first}), catalog('third', 'key', 'remove', $fingerprint{third})),
	qr/^0 /, 'a key is added while an epoch begins');
is(readers(epochs('second')->[-1]), 'first second', '… and is a recipient of that too');
reset_to($state);
like(meanwhile(catalog('third', 'key', 'remove', $fingerprint{third}), catalog('second', 'key', 'add', $key{first})),
	qr/^0 /, 'an epoch begins while a key is added');
is(readers(epochs('second')->[-1]), 'first second', '… and is one again');

# --- interrupted -----------------------------------------------------------------------------------------------------

my %seen;
kill_at_every_syscall('key remove',
	command => catalog('third', 'key', 'remove', $fingerprint{second}),
	before  => sub { reset_to($state) },
	from    => qr/tmp/,
	every   => is_full_run() ? 1 : 12,
	after   => sub {
		my $run = sub {
			my ($out, $err) = ('', '');
			my @words = @_;
			IPC::Run::run([ "$Pitr::BIN/" . shift @words, @words ], '<', \'', '>', \$out, '2>', \$err);
			return $? == 0 ? $out : "failed: $err";
		};
		my $listed = $run->(@{ catalog('third', 'key', 'list') });
		my ($current, $readers) = $listed =~ /^epoch (\d) \(current\).*\n((?:  .*\n)+)/m or return "the list: $listed";
		$seen{$current}++;
		my $second = $readers =~ /$fingerprint{second}/ ? 1 : 0;
		return "epoch $current is not whole: $listed" unless $current == 3 ? $second : $current == 4 && !$second && $readers =~ /$fingerprint{third}/;
		return if $current == 4;
		my $again = $run->(@{ catalog('third', 'key', 'remove', $fingerprint{second}) });
		return $again =~ /^Key epoch 4 has begun/ ? undef : "run again: $again";
	});
ok($seen{3} && $seen{4}, 'killed before and after the epoch has begun');

# --- forged by who has the host key ----------------------------------------------------------------------------------

reset_to($state);
my @forge = ('/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/forge_keys.py", "$key{first}.host", $repo->path, 'main');
chomp(my $forged = run_ok([ @forge, 'recipient', 3 ], 'somebody with a host key stores a recipient of their own'));
like(run_ok(catalog('third', 'key', 'list'), 'it is listed'), qr/^  $forged  NOT BY A HOLDER OF A SECRET KEY, added [-+:. 0-9]+ on host "vm\?\?\?8m\?\?\?0123456789abcdef\?\?added\?yesterday\?on\?host\?\?vm"$/m,
	'… as what it is, and with nothing that a terminal obeys');
unlike($list, qr/NOT BY/, '… which the others are not');
my ($done, $warned) = run_ok(catalog('third', 'key', 'remove', $fingerprint{second}), 'a new epoch begins');
like($warned, qr/$forged is left out of key epoch 4/, '… and is not sealed to it');
is(readers(epochs('third')->[-1]), 'third', '… indeed');

run_ok([ @forge, 'epoch', 5 ], 'somebody with a host key begins an epoch of their own');
like(run_ok(catalog('third', 'key', 'list'), 'it is listed'), qr/^epoch 5 \(current\), NOT BY A HOLDER OF A SECRET KEY, begun .* on host "forger"$/m, '… as what it is');
run_fails(catalog('third', 'key', 'remove', $forged), 1, qr/key epoch 5 was begun by somebody who had a host key and no secret key, on host "forger"/,
	'… and nothing follows it');

# --- a forged system -------------------------------------------------------------------------------------------------

# What pitr-check says of keys, a line each, and whether pitr-verify is content.
sub keys_checked {
	my ($key_file) = @_;
	my (undef, $json) = run_program([ 'pitr-check', $repo->options, "--key-file=$key_file", '--json' ]);
	return join '', map { lc($_->{status}) . ": $_->{message}\n" } grep { $_->{check} eq 'keys' } @{ JSON::decode_json($json)->{checks} };
}
sub keys_verified {
	my ($key_file) = @_;
	my ($status, $out, $said) = run_program([ 'pitr-verify', $repo->options, "--key-file=$key_file" ]);
	return "$status $out$said";
}

my $next = cluster('next', start => 0);
my ($system) = run_ok([ $next->bin . '/pg_controldata', $next->data_dir ], 'a further server') =~ /system identifier: *(\d+)/;
my @next = ($repo->options, '--pgdata=' . $next->data_dir);
sub identities { return scalar grep { m{/identity$} } $repo->objects }

reset_to($state);
is(keys_checked($key{third}), "ok: 2 keys can read what is stored\n", 'all is well');
run_ok([ @forge, 'identity', 3, '9' x 18 ], 'somebody with a host key stores the identity of a system that goes on, with a key of their own');
my $identities = identities();
run_fails([ 'pitr-catalog', @next, "--key-file=$_", 'init', '--new-system' ], 1,
	qr/identity of the system 9{18} names another public key for key epoch 3 than that has/, "no system follows that, says $_") for $key{third}, "$key{first}.host";
is(identities(), $identities, '… indeed');
my (undef, $listed) = run_ok(catalog('third', 'key', 'list'), 'the keys are listed all the same');
like($listed, qr/identity of the system 9{18} names another public key/, '… with a warning');
like(keys_checked($key{third}), qr/^critical: the identity of the system 9{18} names another public key/m, '… and pitr-check says so');
like(keys_verified($key{third}), qr/^1 .*names another public key/s, '… and pitr-verify');

reset_to($state);
run_ok([ @forge, 'identity', 3, $system ], 'somebody stores that of a server before its administrator does');
run_fails([ 'pitr-archive', @next, "--key-file=$key{first}.host", $next->data_dir . '/pg_wal/000000010000000000000001' ], 1,
	qr/identity of the system $system names another public key/, 'nothing is sealed to that key');
is_deeply([ $repo->objects(qr{^main/$system/(?!identity)}) ], [], '… and nothing is stored');

# --- more than there may be ------------------------------------------------------------------------------------------

reset_to($state);
run_ok([ @forge, 'crowd', 3 ], 'somebody with a host key stores more recipients than there may be');
run_ok(catalog('third', 'key', 'add', $key{first}), '… and a key can be added');
like(run_ok(catalog('third', 'key', 'remove', $fingerprint{second}), '… and another one retired'), qr/for 2 others/, '… for those who were added');

reset_to($state);
my @crowd  = map { "$key{first}-crowd-$_" } 1 .. 63;
my $failed = 0;
for my $file (@crowd) {
	my @commands = ([ 'pitr-catalog', 'keygen', $file, "--host-key-of=$key{first}" ], catalog('third', 'key', 'add', $file));
	pop @commands if $file eq $crowd[-1];
	for my $command (@commands) {
		my ($program, @words) = @$command;
		IPC::Run::run([ "$Pitr::BIN/$program", @words ], '<', \'', '>', \my $out, '2>', \my $err) or $failed++;
	}
}
is($failed, 0, '62 more keys are added');
run_fails(catalog('third', 'key', 'add', $crowd[-1]), 2, qr/key epoch 3, the current one, has 64 recipients, .*key remove/s, 'the 65th is refused');
like(run_ok(catalog('third', 'key', 'add', $crowd[0]), 'who is one'), qr/already/, '… is not');
like(run_ok(catalog('third', 'key', 'remove', $fingerprint{second}), 'one can be retired'), qr/for 63 others/, '… as ever');

# --- lost ------------------------------------------------------------------------------------------------------------

sub lose { my ($pattern) = @_; return unlink map { $repo->path . "/$_" } $repo->objects($pattern) }
sub spoil { my ($offset, @names) = @_; damage($repo->path . "/$_", 'flip', offset => $offset) for @names; return scalar @names }

reset_to($state);
is(lose(qr{/key/00000003/public$}), 1, 'the public half of an epoch is lost');
for my $file ($key{third}, "$key{third}.host") {
	like(keys_checked($file), qr/^critical: key epoch 3 is not whole/m, "… which pitr-check sees with $file");
	like(keys_verified($file), qr/^1 .*not the public half of key epoch 3/s, '… and pitr-verify');
}
File::Path::make_path($repo->path . '/' . File::Basename::dirname($sealed));
write_file($repo->path . "/$sealed", $sealed_object);
is(fetched('third', File::Basename::basename($sealed)), 'read', '… but what is stored can be read all the same');
lose(qr{/key/00000003/});
like(keys_verified("$key{third}.host"), qr/^1 .*sealed to key epoch 3, which the repository has not/s, '… and when all of it is lost, a host sees by what is sealed to it');

reset_to($state);
ok(lose(qr{/key/00000001/recipient/}) > 0, 'the recipients of an earlier epoch are lost');
for my $file ($key{third}, "$key{third}.host") {
	like(keys_checked($file), qr/^critical: there is no key that can read what is stored in key epoch 1$/m, "… which pitr-check sees with $file");
	like(keys_verified($file), qr/^1 .*no key that can read what is stored in key epoch 1/s, '… and pitr-verify');
}
like(keys_checked($key{third}), qr/^warning: the key in ".*" cannot restore what was stored in key epoch 1$/m, '… and that it concerns this key');

reset_to($state);
my @recipients = $repo->objects(qr{/key/00000003/recipient/});
spoil(100, @recipients);
like(keys_checked($_), qr/^critical: there is no key that can read what is stored in key epoch 3, the current one: the objects of its recipients are damaged$/m,
	"damaged recipients, with $_") for $key{third}, "$key{third}.host";
unlike(keys_checked($key{third}), qr/no secret key/, '… are not blamed on anybody');
like(run_ok(catalog('third', 'key', 'list'), 'they are listed'), qr/^  $fingerprint{third}  DAMAGED, added/m, '… as damaged');

reset_to($state);
my ($own) = grep { /$fingerprint{third}/ } @recipients;
spoil(-20, $own);
like(keys_checked($key{third}), qr/^warning: the object of 1 recipient of key epoch 3 is damaged$/m, 'a recipient\'s object is damaged inside: its key finds out');
like(keys_verified($key{third}), qr/^1 .*it is damaged, and so the key at hand does not open key epoch 3/s, '… also with pitr-verify');
run_fails(catalog('third', 'key', 'remove', $fingerprint{second}), 1, qr/object that would open key epoch 3 .* is damaged.*another key/s, '… and is told to use another one');

my $plain = repo('plain');
$plain->init($node);
run_fails([ 'pitr-catalog', $plain->options, 'key', 'list' ], 2, qr/is not encrypted: it has no keys/, 'without encryption there are no keys');
$node->stop;
done_testing();
