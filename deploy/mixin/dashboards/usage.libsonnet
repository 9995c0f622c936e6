local p = import 'panels.libsonnet';
local of = p.of;
local day(name) = 'sum(increase(%s[24h])) or vector(0)' % of(name);

{
  grafanaDashboards+:: {
    'zenmux-gateway-usage.json': p.dashboard(
      $._config,
      'zenmux-gateway-usage',
      'ZenMux gateway / Usage and money',
      'What was made, what it cost, who asked for it, and who is near a limit.',
      [
        p.row('The last 24 hours', [
          p.stat('Cost', 'Money charged.', day('cost_usd_total'), 'currencyUSD', 2, w=6),
          p.stat('Images', 'Images charged.', day('images_total'), w=6),
          p.stat('Cost of an image', 'On average.', 'sum(increase(%s[24h])) / sum(increase(%s[24h]))' % [of('cost_usd_total'), of('images_total')], 'currencyUSD', 3, w=6),
          p.stat('Charged at the estimate', 'Answers that came without usage, or with more than can be.', 'sum(increase(%s[24h])) + (sum(increase(%s[24h])) or vector(0)) or vector(0)' % [of('usage_missing_total'), of('usage_implausible_total')], thresholds=[['green', null], ['orange', 1]], w=6),
        ]),
        p.row('What was made', [
          p.lines('Images per hour', 'Images charged, by model.', [[p.perHour('images_total', 'model', p.chosen), '{{model}}']], stacked=true, w=8),
          p.lines('Tokens per hour', 'Tokens charged.', [[p.perHour('tokens_total', 'direction, modality', p.chosen), '{{direction}} {{modality}}']], stacked=true, w=8),
          p.lines('Cost per hour', 'Money charged, by model.', [[p.perHour('cost_usd_total', 'model', p.chosen), '{{model}}']], 'currencyUSD', stacked=true, w=8),
          p.lines('Images sent in per hour', 'With edits.', [[p.perHour('input_images_total', 'model', p.chosen), '{{model}}']], stacked=true),
          p.lines('Bytes sent in per hour', 'Of the images of edits.', [[p.perHour('received_bytes_total', 'model', p.chosen), '{{model}}']], 'bytes', stacked=true),
        ]),
        p.row('Who', [
          p.bars('Top users by cost', 'In the time shown above.', ['topk(10, sum by (user) (increase(%s[$__range])))' % of('user_cost_usd_total'), '{{user}}'], 'currencyUSD', w=6),
          p.bars('Top users by images', 'In the time shown above.', ['topk(10, sum by (user) (increase(%s[$__range])))' % of('user_images_total'), '{{user}}'], w=6),
          p.bars('Top users by tokens', 'In the time shown above.', ['topk(10, sum by (user) (increase(%s[$__range])))' % of('user_tokens_total'), '{{user}}'], w=6),
          p.bars(
            'Quotas used',
            'The fullest 20: used and pending share of a limit, without shadow limits.',
            ['topk(20, max by (scope, name, unit, window, model) (%s))' % of('quota_used_ratio', 'shadow="false"'), '{{scope}} {{name}} · {{unit}}/{{window}} · {{model}}'],
            'percentunit',
            thresholds=[['green', null], ['orange', 0.8], ['red', 1]],
            max=1,
            w=6
          ),
          p.lines('Thresholds crossed per hour', 'Limits whose settled use crossed a percentage.', [[p.perHour('threshold_events_total', 'scope, unit, window, percent, shadow'), '{{scope}} {{unit}}/{{window}} {{percent}} % shadow={{shadow}}']]),
          p.lines('Webhooks per hour', 'Tries to tell the webhook of crossed thresholds, by how they ended.', [[p.perHour('webhooks_total', 'result'), '{{result}}']]),
        ]),
        p.row("Against ZenMux's bill", [
          p.lines(
            "Drift from ZenMux's bill",
            'What the ledger charged for the last day compared, less what ZenMux billed. Below zero, ZenMux billed more.',
            [['min by (model) (%s)' % of('reconciliation_drift_usd', 'model=~"$model"'), '{{model}}']],
            'currencyUSD',
            min=null,
            w=16,
            h=7
          ),
          p.stat('Last day compared', 'When the youngest day that `ledger reconcile` compared began.', 'max(%s) * 1000' % of('reconciliation_day_timestamp_seconds'), 'dateTimeAsIso', w=8, h=7),
          p.lines(
            'Charges that are not what ZenMux reported',
            'Per hour: no usage came, or more than can be, or there is no price.',
            [
              [p.perHour('usage_missing_total', 'model', p.chosen), 'no usage: {{model}}'],
              [p.perHour('usage_implausible_total', 'model', p.chosen), 'implausible: {{model}}'],
              [p.perHour('unpriced_total', 'model', p.chosen), 'no price: {{model}}'],
            ],
            w=24
          ),
        ]),
      ],
      from='now-24h'
    ),
  },
}
