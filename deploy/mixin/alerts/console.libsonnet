local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local m(name, more='') = lib.metric(config.selector, name, more),
  local tries(results, moreThan) = lib.line(
    lib.happened(config.selector, 'job, method', 'logins_total', 'result=~"%s"' % results, '15m', moreThan)
  ),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-console',
      rules: [
        lib.alert(
          config,
          'SignInsRefused',
          'warning',
          tries('refused|throttled', config.refusedSignIns),
          '{{ printf `%.0f` $value }} tries to sign in to the console by {{ $labels.method }} were refused in 15 minutes.',
          'Somebody may be guessing, or a program tries again and again. The log of the proxy in front has the address.'
        ),
        lib.alert(
          config,
          'SignInsFailing',
          'warning',
          tries('failed', config.failedSignIns),
          'The identity provider fails: {{ printf `%.0f` $value }} tries to sign in to the console ended so in 15 minutes.',
          'It does not answer, or its answers do not fit gateway.yaml. Images are made all the same; `console link` signs in without it.'
        ),
        lib.alert(
          config,
          'ConsoleQuerySlow',
          'warning',
          'histogram_quantile(0.95, sum by (job, instance, le) (rate(%s[15m]))) > %g' % [m('console_query_seconds_bucket'), config.consoleQuerySeconds],
          'One read in twenty for the console and the admin API of {{ $labels.instance }} takes longer than {{ $value | humanizeDuration }}.',
          'The database is slow, or pages and programs ask for much. Requests for images do not wait for them.',
          '15m'
        ),
      ],
    }],
  },
}
