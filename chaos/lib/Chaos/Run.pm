package Chaos::Run;

# One scenario: its servers, the events that go to them, and what a fault is
# made with.
#
#   my $figures = Chaos::Run->new($scenario, scale => 1)->go;
#
# A scenario is a hash; all but the first four may be left out:
#
#   name, does   what it is called; a sentence of what is done
#   topology     code that starts one and gives it
#   fault        code that is called with the run while events go out
#   params       parameters of knock_redis, after those of $Params
#   http         code that is called with the run and gives more for nginx's
#                http block
#   start        code that is called with the run before nginx is there
#   before       the same before events go out
#   after        code that is called when all are taken, before the audit
#   harmless     what this fault may leave in the error log, a pattern
#   gentle       a fault that no answer but 200 must show
#   growth       how much larger a worker may become, MB (32)
#   rate         events a second (800)
#
# A fault uses pause(), until(), served(), unavailable(), must() and note().

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use List::Util qw(max);
use Time::HiRes qw(sleep time);

use Chaos::Events qw(known_users);
use Chaos::Ledger;
use Chaos::Nginx;
use Chaos::Sender;

use constant {
    WORKERS     => 2,
    CONNECTIONS => 32,
    RATE        => 800,
    GROWTH      => 32,          # MB
    WAIT        => 60,          # seconds, for what must come
    SAMPLE      => 0.1,         # between two looks at memory
    KEY         => 'chaos',     # of the control API
};

# an outage is over soon after its cause is
our $Params = 'timeout=2s connect_timeout=1s reconnect_max=1s';

my $codec = JSON::PP->new->utf8->canonical;


# Options: `scale`, by which all pauses are multiplied; `tamper`, code that is
# called with the topology before the audit.

sub new {
    my ($class, $scenario, %options) = @_;

    return bless { scale => 1, %options, scenario => $scenario, faults => [],
                   notes => {}, memory => 0, sampled => 0 }, $class;
}


sub topology { return $_[0]{topology} }
sub nginx { return $_[0]{nginx} }
sub node { return $_[0]{topology}->node }


# Does all of it and gives the figures: those of Chaos::Ledger, those of
# Chaos::Sender and what follows from them.

sub go {
    my ($self) = @_;

    my $began = time;
    my $figures = eval { $self->_go } // { faults => [] };

    push @{ $figures->{faults} }, "it ended early: $@" if $@;
    push @{ $figures->{faults} }, @{ $self->{faults} };

    $self->{sender}->stop if $self->{sender};
    $self->{nginx}->stop if $self->{nginx};
    $self->{topology}->stop if $self->{topology};

    push @{ $figures->{faults} }, $self->_complaints;

    chomp @{ $figures->{faults} };

    return { name => $self->{scenario}{name}, %$figures,
             notes => $self->{notes}, seconds => 0 + sprintf '%.1f',
                                                 time - $began };
}


# Lets time pass, while events go out.

sub pause {
    my ($self, $seconds) = @_;

    my $end = time + $seconds * $self->{scale};

    while ((my $left = $end - time) > 0) {
        $self->_watch;
        sleep($left < 0.02 ? $left : 0.02);
    }
}


# Waits until the code gives a true value, which is given.

sub until {
    my ($self, $what, $code) = @_;

    my $end = time + WAIT;

    while (time < $end) {
        my $value = eval { $code->() };

        return $value if $value;

        $self->_watch;
        sleep 0.01;
    }

    die "waited in vain for $what\n";
}


# Waits for an answer of 200 that comes after this call.

sub served {
    my ($self) = @_;

    my $now = time;

    $self->until('an answer of 200', sub {
        $self->{sender}->progress->{at} > $now
    });
}


# Waits for an answer of 503 that comes after this call.

sub unavailable {
    my ($self) = @_;

    my $before = $self->{sender}->progress->{unavailable};

    $self->until('an answer of 503', sub {
        $self->{sender}->progress->{unavailable} > $before
    });
}


# Waits until so many events more have been taken.

sub taken {
    my ($self, $n) = @_;

    my $before = $self->{sender}->progress->{taken};

    $self->until("$n events to be taken", sub {
        $self->{sender}->progress->{taken} >= $before + $n
    });
}


# Something that has to be so.

sub must {
    my ($self, $true, $what) = @_;

    push @{ $self->{faults} }, $what unless $true;
}


# A figure of the scenario's own.

sub note {
    my ($self, $name, $value) = @_;

    $self->{notes}{$name} = $value;
}


# Reads this configuration instead, by a reload; returns when new workers run.

sub reload {
    my ($self, %changes) = @_;

    $self->{nginx}->write_conf(%changes);
    $self->{nginx}->reload;
}


# The http block with other parameters of knock_redis.

sub http {
    my ($self, $params) = @_;

    my $scenario = $self->{scenario};

    return "knock_redis " . $self->{topology}->target . " $Params "
           . ($scenario->{params} // '') . ' ' . ($params // '') . ";\n"
           . $self->{topology}->http
           . "client_max_body_size 16m;\nkeepalive_requests 100000;\n"
           . ($scenario->{http} ? $scenario->{http}->($self) : '');
}


sub _go {
    my ($self) = @_;

    my $scenario = $self->{scenario};

    $self->{topology} = $scenario->{topology}->();
    $scenario->{start}->($self) if $scenario->{start};
    $self->_start_nginx;
    $self->_configure;
    $scenario->{before}->($self) if $scenario->{before};

    my $memory = $self->{nginx}->memory;

    $self->{sender} = Chaos::Sender->start(
        port => $self->{nginx}->port, path => $self->{path},
        connections => CONNECTIONS, rate => $scenario->{rate} // RATE);

    $self->taken(200);
    $scenario->{fault}->($self);
    $self->served;
    $self->pause(1);

    $self->{finishing} = 1;

    my $result = $self->{sender}->finish(WAIT, sub {
        $self->_watch;
        sleep 0.02;
    });

    $scenario->{after}->($self) if $scenario->{after};
    $self->{tamper}->($self->{topology}) if $self->{tamper};

    my $figures = Chaos::Ledger::audit($self->{topology}, $result);

    $figures->{forgotten} = Chaos::Ledger::repeat($self->{nginx},
                                                  $self->{path}, $result);
    $self->_judge($figures, $result, $memory);

    return $figures;
}


sub _start_nginx {
    my ($self) = @_;

    my $dir = File::Temp::tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1,
                                  CLEANUP => 1);

    chmod 0755, $dir;

    open my $out, '>', "$dir/keys" or die "$dir/keys: $!\n";
    print {$out} sha256_hex(KEY), "\n";
    close $out or die "$dir/keys: $!\n";

    $self->{nginx} = Chaos::Nginx->start(
        workers => WORKERS, level => 'notice', http => $self->http,
        server => "location /v1/ {\n    knock_api;\n"
                  . "    knock_api_keys $dir/keys;\n}\n"
                  . $Knock::Nginx::Webhook);
}


# A source, a workflow, an action and users, as an operator makes them.

sub _configure {
    my ($self) = @_;

    my $at = '/environments/development';

    $self->_api(POST => '/sources', { key => 'segment', kind => 'segment',
                                      name => 'Segment' });
    $self->_api(PATCH => "/sources/segment$at",
                { identify_enabled => JSON::PP::true });
    $self->_api(PUT => '/workflows/chaos', { name => 'Chaos',
                                             definition => {} });
    $self->_api(PUT => '/actions/chaos', {
        source => 'segment', event => 'track/Chaos', workflow => 'chaos',
        type => 'workflows_trigger', recipients => 'properties.recipients' });
    $self->_api(POST => '/commits', { message => 'all', author => 'chaos' });
    $self->_api(POST => "$at/users/bulk",
                { users => [map { { id => $_ } } known_users()] });

    my $endpoint = $self->_api(GET => "/sources/segment$at");

    $self->{path} = "/in/$endpoint->{token}";
}


# A call of the control API, again while there is no Redis.

sub _api {
    my ($self, $method, $path, $body) = @_;

    my $answer = $self->until("$method $path", sub {
        my $answer = $self->{nginx}->request(
            $method, "/v1$path", $body ? $codec->encode($body) : undef,
            Authorization => 'Bearer ' . KEY,
            'Content-Type' => 'application/json');

        return $answer->{status} == 503 ? undef : $answer;
    });

    die "$method $path: $answer->{status} $answer->{body}\n"
        unless $answer->{status} =~ /^2/;

    return $codec->decode($answer->{body});
}


# Called often: looks at what must be looked at all the time.

sub _watch {
    my ($self) = @_;

    my $now = time;

    die "the sender has ended\n"
        if $self->{sender} && !$self->{finishing} && $self->{sender}->ended;

    return if !$self->{nginx} || $now - $self->{sampled} < SAMPLE;

    $self->{sampled} = $now;
    $self->{memory} = max($self->{memory}, $self->{nginx}->memory);
}


# Figures of the sender, and what must be so in every scenario.

sub _judge {
    my ($self, $figures, $result, $memory) = @_;

    my $scenario = $self->{scenario};
    my $limit = $scenario->{growth} // GROWTH;
    my $grown = ($self->{memory} - $memory) / 1024;
    my $open = $figures->{sent} - $figures->{acknowledged}
               - keys %{ $result->{refused} };
    my @strange = grep { $_ != 200 && $_ != 503 }
                  sort keys %{ $result->{statuses} };

    $figures->{$_} = $result->{$_}
        for qw(statuses duplicates requests broken timeouts unconnected);
    $figures->{outage_ms} = int 1000 * $result->{outage};
    $figures->{slowest_ms} = int 1000 * $result->{slowest};
    $figures->{memory_mb} = 0 + sprintf '%.1f', $self->{memory} / 1024;

    my $failed = ($result->{statuses}{503} // 0) + $result->{broken}
                 + $result->{unconnected};

    $self->must($open == 0, "$open events were not taken in " . WAIT . ' s');
    $self->must(!@strange, "answers of @strange");
    $self->must($result->{timeouts} == 0,
                "$result->{timeouts} requests had no answer in 10 s");
    $self->must($figures->{forgotten} == 0,
                "$figures->{forgotten} events were not known when they came "
                . 'again');

    # with a sanitizer memory says nothing

    $self->must($grown <= $limit || $ENV{ASAN_OPTIONS},
                sprintf 'a worker grew by %.1f MB, more than %d', $grown,
                $limit);
    $self->must(0, "an answer of 200 says: $_") for @{ $result->{odd} };

    if ($scenario->{gentle}) {
        $self->must(!$result->{statuses}{503}, 'answers of 503');

    } else {
        $self->must($failed, 'no request failed: nothing was put to the test');
    }
}


# What no log may have, but for what this fault is known to leave.

sub _complaints {
    my ($self) = @_;

    my $harmless = $self->{scenario}{harmless} // qr/(?!)/;
    my @lines;

    push @lines, map { "error.log: $_" }
                 grep { !/$harmless/ } $self->{nginx}->complaints
        if $self->{nginx};
    push @lines, $self->{topology}->complaints if $self->{topology};

    splice @lines, 5 if @lines > 5;

    return @lines;
}

1;
