# A repository of a test: a directory (or an address given by the caller) and the pitr.conf that names it.
#
#   repo('main')                                    directory repository, lz4, no key
#   repo('main', compress => 'zstd:3', key => 1)    encrypted; `pitr-catalog keygen` makes the key
#   repo('main', url => 's3://bucket/x', settings => {'s3-endpoint' => ...}, env => {AWS_ACCESS_KEY_ID => ...})
package Pitr::Repo;

use strict;
use warnings;

use File::Find ();

sub new {
	my ($class, $name, %options) = @_;
	my $base = Pitr::directory("repo-$name");
	my $self = bless {
		name => $name,
		base => $base,
		path => "$base/objects",
		env  => $options{env} // {},
	}, $class;
	mkdir $self->{path}, 0700;
	my %settings = (
		repo => $options{url} // $self->{path},
		spool => "$base/spool",                            # as on an installed host: what is ahead is ahead
		compress => $options{compress} // 'lz4',
		%{ $options{settings} // {} });
	$settings{cluster} = $options{cluster} if defined $options{cluster};
	if ($options{key}) {
		$self->{key} = "$base/key";
		Pitr::run_ok([ 'pitr-catalog', 'keygen', $self->{key} ], "a key for repository \"$name\" is made");
		$settings{'key-file'} = $self->{key};
	}
	$self->{settings} = \%settings;
	$self->write_config;
	return $self;
}

# Writes pitr.conf anew from the settings, with changes: NAME => value, undef removes.
sub write_config {
	my ($self, %changes) = @_;
	my $settings = $self->{settings};
	while (my ($name, $value) = each %changes) {
		if (defined $value) { $settings->{$name} = $value }
		else                { delete $settings->{$name} }
	}
	Pitr::write_file($self->config, join '', map { "$_ = $settings->{$_}\n" } sort keys %$settings);
	chmod 0600, $self->config;
	return $self;
}

sub path   { return $_[0]{path} }                       # the directory that holds the objects
sub key    { return $_[0]{key} }
sub env    { return $_[0]{env} }
sub config { return "$_[0]{base}/pitr.conf" }
sub options { return "--config=" . $_[0]->config }      # what every program is given

# Makes the repository for this cluster's system identifier. Without one no test makes sense.
sub init {
	my ($self, $node) = @_;
	my ($status, undef, $stderr) = Pitr::run_program([ 'pitr-catalog', $self->options, '--pgdata=' . $node->data_dir, 'init' ],
		env => $self->{env});
	die "could not create repository \"$self->{name}\": status $status: $stderr\n" if $status != 0;
	return $self;
}

# Relative names of all objects of a directory repository, sorted; those that match, if a pattern is given.
sub objects {
	my ($self, $pattern) = @_;
	my @names;
	File::Find::find({ no_chdir => 1, wanted => sub {
		push @names, substr($_, length($self->{path}) + 1) if -f $_;
	} }, $self->{path});
	return sort grep { !defined $pattern || $_ =~ $pattern } @names;
}

# name -> content of every object: two of these are equal when nothing in the repository changed.
sub contents {
	my ($self) = @_;
	return { map { $_ => Pitr::read_file("$self->{path}/$_") } $self->objects };
}

1;
