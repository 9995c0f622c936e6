local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local m(name, more='') = lib.metric(config.selector, name, more),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-availability',
      rules: [
        // A gateway that is found by its name and is gone has no series that could be 0: hence `absent`.
        lib.alert(
          config,
          'Down',
          'critical',
          'up{%(selector)s} == 0 or absent(up{%(selector)s})' % config,
          '{{ or $labels.instance `Every gateway` }} does not answer Prometheus.',
          "The last lines of the process's log say why it ended; an error in the settings names the setting.",
          '2m'
        ),
        lib.alert(
          config,
          'CannotServe',
          'critical',
          'sum by (job, instance) (rate(%s[5m])) > 0' % m('requests_total', 'outcome="unavailable"'),
          '{{ $labels.instance }} turns requests away.',
          'Its database does not answer, or it is overloaded. /readyz names the reason.',
          '5m'
        ),
        lib.alert(
          config,
          'Fault',
          'critical',
          lib.line(lib.happened(config.selector, 'job, instance', 'requests_total', 'outcome="fault"', '15m')),
          '{{ $labels.instance }} met a bug of its own.',
          'The traceback is in its log, at level error, with the id of the request. Please report it.'
        ),
        lib.alert(
          config,
          'ConnectionsRefused',
          'warning',
          lib.line(lib.happened(config.selector, 'job, instance, kind', 'connection_faults_total', 'kind=~"too_many|no_descriptors"', '15m')),
          '{{ $labels.instance }} refuses connections of callers ({{ $labels.kind }}).',
          'Raise GATEWAY_CONNECTIONS_MAX, or the number of files that the process may open.'
        ),
        lib.alert(
          config,
          'LogLost',
          'warning',
          lib.line(lib.happened(config.selector, 'job, instance', 'log_lines_dropped_total', '', '15m')),
          '{{ $labels.instance }} cannot write its log: lines are lost.',
          'The disk of the log is full, or what reads the log has stopped. Images are made all the same.',
          '5m'
        ),
        lib.alert(
          config,
          'ReloadFailed',
          'warning',
          'min by (job, instance) (%s) == 0' % m('config_last_reload_successful'),
          '{{ $labels.instance }} could not read its configuration again, and uses the old one.',
          'configuration_refused in its log says what is wrong. Mend it, and reload again.',
          '5m'
        ),
        lib.alert(
          config,
          'Slow',
          'warning',
          'histogram_quantile(0.95, sum by (job, instance, le) (rate(%s[15m]))) > %d' % [m('request_duration_seconds_bucket'), config.requestSeconds],
          'One request in twenty to {{ $labels.instance }} takes longer than {{ $value | humanizeDuration }}.',
          'Mostly that is ZenMux, and large images: compare with the time to the first byte and with the added latency.',
          '15m'
        ),
      ],
    }],
  },
}
