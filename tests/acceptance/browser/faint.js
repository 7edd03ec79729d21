// The texts that are hard to read, against what is really behind them, see-through layers included.
// WCAG asks for 4.5 to 1, and for 3 to 1 where text is large.
() => {
  const colour = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    const unit = text.startsWith("color(") ? 255 : 1;
    return [red * unit, green * unit, blue * unit, alpha];
  };
  const over = (top, low) => [0, 1, 2].map((at) => top[at] * top[3] + low[at] * (1 - top[3]));
  const behind = (node) => {
    const layers = [];
    for (let at = node; at && layers.at(-1)?.[3] !== 1; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
    return layers.reduceRight((low, top) => over(top, low), [255, 255, 255]);
  };
  const light = (parts) => {
    const [red, green, blue] = parts.map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = new Set();
  for (const node of document.querySelectorAll("body *")) {
    const words = [...node.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.data).join(" ").trim();
    if (!words || node.disabled || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(node), back = behind(node);
    const [low, high] = [light(over(colour(style.color), back)), light(back)].sort((one, other) => one - other);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.add(`${contrast.toFixed(1)} to 1: ${words.slice(0, 40)}`);
  }
  return [...found];
}
