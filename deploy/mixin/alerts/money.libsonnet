local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local m(name, more='') = lib.metric(config.selector, name, more),
  local happened(by, name, more, window) = lib.line(lib.happened(config.selector, by, name, more, window)),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-money',
      rules: [
        lib.alert(
          config,
          'UsageMissing',
          'info',
          happened('job, instance, model', 'usage_missing_total', '', '1h'),
          'Answers of {{ $labels.model }} came without usage and were charged at the estimate.',
          "A few are normal when ZenMux has trouble; compare with its bill if they go on."
        ),
        lib.alert(
          config,
          'UsageImplausible',
          'warning',
          happened('job, instance, model', 'usage_implausible_total', '', '1h'),
          'Answers of {{ $labels.model }} reported more usage than can be: the estimate was charged.',
          'The log line has implausible_tokens; `zenmux-gateway ledger reconcile` shows whether ZenMux billed them.'
        ),
        lib.alert(
          config,
          'Unpriced',
          'info',
          happened('job, instance, model', 'unpriced_total', '', '1h'),
          '{{ $labels.model }} is used and has no price.',
          'Put its price into a file and name the file in GATEWAY_CATALOG_FILE.'
        ),
        lib.alert(
          config,
          'BilledMore',
          'warning',
          'min by (job, model) (%s) < -%s' % [m('reconciliation_drift_usd'), config.driftUsd],
          'ZenMux billed more for {{ $labels.model }} than the ledger charged: {{ $value }} dollars on the last day compared.',
          'Another program with a key of the same account, a price that changed, or requests that crossed midnight.'
        ),
        lib.alert(
          config,
          'NotReconciled',
          'info',
          lib.line(|||
            time() - max by (job) (%(day)s) > %(days)d * 86400
            and max by (job) (%(day)s) > 0
          ||| % { day: m('reconciliation_day_timestamp_seconds'), days: config.reconciledDays }),
          "The last day that was compared with ZenMux's bill began {{ $value | humanizeDuration }} ago.",
          'The daily `zenmux-gateway ledger reconcile` fails or does not run; run it by hand, it says why.',
          '1h'
        ),
        lib.alert(
          config,
          'QuotaNearlyUsed',
          'info',
          'max by (job, scope, name, unit, window, model) (%s) > %s' % [m('quota_used_ratio', 'shadow="false"'), config.quotaUsedRatio],
          '{{ $labels.scope }} {{ $labels.name }} has used {{ $value | humanizePercentage }} of its {{ $labels.unit }} for the {{ $labels.window }} (models: {{ $labels.model }}).',
          '`zenmux-gateway limits set` gives more.',
          '5m'
        ),
        lib.alert(
          config,
          'LimitPassed',
          'info',
          happened('job, scope, unit', 'limits_passed_total', '', '1h'),
          'A charge that came late brought a limit in {{ $labels.unit }} of a {{ $labels.scope }} above its amount.',
          'It was bought, so it counts. Many of them: look why reservations expire before their answers come.'
        ),
        lib.alert(
          config,
          'WebhookFailing',
          'warning',
          happened('job, instance', 'webhooks_total', 'result="given_up"', '1h'),
          '{{ $labels.instance }} has given up telling GATEWAY_WEBHOOK_URL of a crossed threshold.',
          'Ten tries in a day failed; webhook_failed in the log has the reason.'
        ),
      ],
    }],
  },
}
