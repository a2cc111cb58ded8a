export const renderReplication = (..._: any[]) => '';
