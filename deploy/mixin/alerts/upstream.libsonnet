local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local m(name, more='') = lib.metric(config.selector, name, more),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-upstream',
      rules: [
        lib.alert(
          config,
          'AccountFault',
          'critical',
          lib.line(lib.happened(config.selector, 'job, instance, kind', 'upstream_errors_total', 'kind=~"account.*"', '15m')),
          "ZenMux refuses the gateway's own key or account ({{ $labels.kind }}).",
          'Nobody gets an image over this account until it is mended: top it up, or set a new key.'
        ),
        lib.alert(
          config,
          'AccountDown',
          'warning',
          'max by (job, account) (%s) < 1' % m('account_up'),
          'No process uses the ZenMux account {{ $labels.account }}.',
          'Other accounts take its requests, as far as they have room. `accounts list` says why it is out.',
          '5m'
        ),
        lib.alert(
          config,
          'UpstreamFailing',
          'warning',
          lib.line('sum by (job, instance) %s / sum by (job, instance) %s > %s' % [
            lib.grown(config.selector, 'requests_total', 'outcome="upstream_failed"', '15m'),
            lib.grown(config.selector, 'requests_total', 'outcome=~"completed|client_left|upstream_failed"', '15m'),
            config.upstreamFailedRatio,
          ]),
          '{{ $value | humanizePercentage }} of the requests sent to ZenMux end without a whole answer.',
          'The panel "Upstream errors" shows the kinds. silence and provider_timeout are ZenMux, unreachable may be your network.',
          '10m'
        ),
        lib.alert(
          config,
          'NoImage',
          'warning',
          lib.line(lib.happened(config.selector, 'job, instance', 'upstream_errors_total', 'kind="no_image"', '15m', config.noImageCount)),
          'ZenMux answers {{ $labels.instance }} with success and without an image.',
          'These answers may be billed; the estimate or the reported usage is charged. Ask ZenMux what became of them.'
        ),
      ],
    }],
  },
}
